"""The units: what systemd itself says of them, how exposed they are, and that their names are the code's names."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.module_utils.common.text.formatters import human_to_bytes
from ansible.plugins.filter.core import regex_replace
from pydantic import SecretStr

from market_pulse.alerts.settings import AlertSettings
from market_pulse.auditor.settings import AuditorSettings
from market_pulse.backup.settings import BackupSettings, ProofSettings
from market_pulse.kafka_login import Principal
from market_pulse.probes import PROBES
from market_pulse.probes.consumer import ConsumerProbeSettings
from market_pulse.probes.pgadmin import PgAdminProbeSettings
from market_pulse.probes.spark import MasterProbeSettings, WorkerProbeSettings
from market_pulse.producer import environment
from market_pulse.producer.settings import ProducerSettings
from market_pulse.settings import BrokerSettings, KafkaSettings, Settings
from market_pulse.simulator.settings import SimulatorSettings
from market_pulse.upkeep.settings import UpkeepSettings
from market_pulse.web.settings import WebSettings
from market_pulse_stream.settings import ConsumerSettings
from support.repository import ANSIBLE, ROOT, group_vars

SYSTEMD = ROOT / "systemd"
PATHS = group_vars("pipeline")["market_pulse_paths"]
DAEMONS = ["kafka", "spark-master", "spark-worker", "consumer", "simulator", "producer", "web", "pgadmin", "auditor"]
# Run to their end when their timer says so.
JOBS = ["upkeep", "alerts", "backup", "restore-proof"]
# Which the deployment does not wait for, and which run as PostgreSQL's own user.
AT_NIGHT = ["backup", "restore-proof"]
UNITS = [*DAEMONS, *JOBS]
EVERY_MINUTE = "OnCalendar=*-*-* *:*:00"
# systemd-analyze's exposure, times ten, that a unit may have at most.
EXPOSURE = {
    "kafka": 15,
    "spark-master": 16,
    "spark-worker": 16,
    "consumer": 16,
    "simulator": 13,
    "producer": 13,
    "web": 13,
    "pgadmin": 13,
    "auditor": 13,
    "upkeep": 13,
    "alerts": 13,
    "backup": 13,
    "restore-proof": 13,
}
# What the role postgresql lays beside the unit that Debian's package brings.
POSTGRESQL_DROPINS = ["market-pulse-.service.d/10-hardening.conf", "postgresql@.service.d/20-market-pulse.conf"]
SETTINGS: dict[str, list[type[Settings]]] = {
    "kafka": [BrokerSettings],
    "spark-master": [MasterProbeSettings],
    "spark-worker": [WorkerProbeSettings],
    "consumer": [ConsumerProbeSettings, ConsumerSettings],
    "simulator": [SimulatorSettings],
    "producer": [ProducerSettings],
    "web": [WebSettings],
    "pgadmin": [PgAdminProbeSettings],
    "auditor": [AuditorSettings],
    "upkeep": [UpkeepSettings],
    "alerts": [AlertSettings],
    "backup": [BackupSettings],
    "restore-proof": [ProofSettings],
}
# The roles whose variables end in a unit's environment file.
ROLES = {
    "kafka": ["kafka"],
    "spark-master": ["spark"],
    "spark-worker": ["spark"],
    "consumer": ["consumer"],
    "simulator": ["simulator"],
    "producer": ["producer", "simulator"],
    "web": ["web", "simulator"],
    "pgadmin": ["pgadmin"],
    "auditor": ["auditor", "simulator"],
    "upkeep": ["upkeep", "simulator"],
    "alerts": ["alerts"],
    "backup": ["backup"],
    "restore-proof": ["backup"],
}


def unit_values(name: str, key: str) -> list[str]:
    """Return the words of every line of a unit that sets this key."""
    text = (SYSTEMD / f"market-pulse-{name}.service").read_text().replace("\\\n", " ")
    return [word for line in text.splitlines() if line.startswith(f"{key}=") for word in line.split("=", 1)[1].split()]


def fields(name: str, *, secret: bool, required_only: bool = False) -> set[str]:
    """Return the environment or credential names of a unit's settings."""
    return {
        f"mp_{field}" if secret else f"MP_{field.upper()}"
        for settings in SETTINGS[name]
        for field, info in settings.model_fields.items()
        if (info.annotation is SecretStr) is secret
        and info.validation_alias is None
        and (info.is_required() or not required_only)
    }


def role_variables(name: str) -> set[str]:
    """Return the MP_ variables that the unit's roles write."""
    files = [path for role in ROLES[name] for path in (ANSIBLE / "roles" / role).rglob("*.yml")]
    return {found for path in files for found in re.findall(r"^\s+(MP_[A-Z_]+):", path.read_text(), re.MULTILINE)}


def read_by_programs(name: str) -> set[str]:
    """Return the variables and credentials that code of ours reads for a program of others, in its environment."""
    files = (ROOT / f"{name}_app").glob("*.py")
    return {found for path in files for found in re.findall(r"[\"'](MP_[A-Z_]+|mp_[a-z_]+)[\"']", path.read_text())}


def test_every_unit_is_in_this_test() -> None:
    assert sorted(path.name for path in SYSTEMD.glob("*.service")) == sorted(f"market-pulse-{n}.service" for n in UNITS)


def assert_exposed_at_most(bound: int, unit: str, root: Path) -> None:
    """Let systemd judge a unit in a tree of its own; the bound is its exposure times ten."""
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={root}", f"--threshold={bound}"]
    done = subprocess.run([*command, unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def said_by_systemd(path: Path, *units: str) -> list[str]:
    """Return what systemd finds wrong with units, but for the programs: they are on the hosts, not here."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in done.stderr.splitlines() if not re.search(r"Command \S+ is not executable", line)]


def test_systemd_finds_nothing_to_say() -> None:
    units = [str(path) for path in SYSTEMD.iterdir() if path.is_file()]
    assert len(units) > len(UNITS)
    assert said_by_systemd(SYSTEMD, *units) == []


@pytest.mark.parametrize("name", UNITS)
def test_exposure_is_within_its_bound(name: str, tmp_path: Path) -> None:
    shutil.copytree(SYSTEMD, tmp_path / "etc/systemd/system")
    assert_exposed_at_most(EXPOSURE[name], f"market-pulse-{name}.service", tmp_path)


def test_debians_postgresql_is_as_well_kept(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy("/usr/lib/systemd/system/postgresql@.service", units)
    dropins = units / "postgresql@15-main.service.d"
    dropins.mkdir()
    for name in POSTGRESQL_DROPINS:
        shutil.copy(SYSTEMD / name, dropins)
    assert_exposed_at_most(30, "postgresql@15-main.service", tmp_path)
    assert said_by_systemd(units, "postgresql@15-main.service") == []
    role = yaml.safe_load((ANSIBLE / "roles/postgresql/tasks/install.yml").read_text())
    assert [task["loop"] for task in role if "loop" in task] == [POSTGRESQL_DROPINS]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_reads_its_own_environment_file_and_directories(name: str) -> None:
    files = [f"{name}.env", *(["producer-reload.env"] if name == "producer" else [])]
    assert unit_values(name, "EnvironmentFile") == [f"{PATHS['config']}/{file}" for file in files]
    state, runtime = unit_values(name, "StateDirectory"), unit_values(name, "RuntimeDirectory")
    # The auditor and the backup keep elsewhere what they have to say, and the pages keep nothing.
    assert state == [f"{Path(PATHS['state']).name}/{name}"] or (name in ("auditor", "backup", "web") and not state)
    assert runtime == [f"market-pulse-{name}"] or (name in ("auditor", *JOBS) and not runtime)


@pytest.mark.parametrize("name", UNITS)
def test_what_a_unit_names_is_where_the_roles_put_it(name: str) -> None:
    named = [word for word in unit_values(name, "ExecStart") if word.startswith("/") and not word.startswith("/usr/")]
    assert named
    assert [word for word in named if not any(word.startswith(f"{path}/") for path in PATHS.values())] == []


@pytest.mark.parametrize("name", UNITS)
def test_what_the_settings_require_the_roles_write(name: str) -> None:
    required = fields(name, secret=False, required_only=True) | {
        found for found in read_by_programs(name) if found.startswith("MP_")
    }
    assert required - role_variables(name) == set()


@pytest.mark.parametrize("role", sorted({role for roles in ROLES.values() for role in roles}))
def test_what_a_role_writes_somebody_reads(role: str) -> None:
    units = [name for name in UNITS if role in ROLES[name]]
    written = {found for name in units if ROLES[name] == [role] for found in role_variables(name)}
    read = {field for name in units for field in fields(name, secret=False)}
    read |= {word.removeprefix("$") for name in units for word in unit_values(name, "ExecStart")}
    read |= {word for name in units for word in read_by_programs(name)}
    assert written - read == set()


@pytest.mark.parametrize("name", UNITS)
def test_credentials_are_the_settings_secrets(name: str) -> None:
    files = {credential: credential for credential in fields(name, secret=True)}
    if name == "spark-worker":
        # Its executors run the consumer's sink.
        files = {"mp_postgresql_writer_password": "mp_postgresql_writer_password"}
    if name in ("spark-worker", "consumer"):
        files["mp_kafka_consumer_jaas"] = "mp_kafka_consumer_jaas"
    for settings in SETTINGS[name]:
        if issubclass(settings, KafkaSettings):
            files["mp_kafka_password"] = f"mp_kafka_{settings.principal}_password"
    if name in ("spark-master", "spark-worker", "consumer"):
        # Their JVMs take it, no settings of ours.
        files |= {credential: credential for credential in group_vars("pipeline")["market_pulse_spark_credentials"]}
    files |= {credential: credential for credential in read_by_programs(name) if credential.startswith("mp_")}
    loaded = dict(value.split(":") for value in unit_values(name, "LoadCredential"))
    assert loaded == {credential: f"{PATHS['credentials']}/{file}" for credential, file in files.items()}


@pytest.mark.parametrize("name", UNITS)
def test_the_role_of_a_unit_writes_its_credentials(name: str) -> None:
    tasks = "".join(path.read_text() for role in ROLES[name] for path in (ANSIBLE / "roles" / role).rglob("*.yml"))
    files = {value.rsplit("/", 1)[1] for value in unit_values(name, "LoadCredential")}
    if "market_pulse_spark_credentials" in tasks:
        files -= group_vars("pipeline")["market_pulse_spark_credentials"].keys()
    assert [file for file in sorted(files) if f" {file}: " not in tasks] == []


def test_an_environment_file_says_what_was_meant(tmp_path: Path) -> None:
    templates = jinja2.Environment(autoescape=False, keep_trailing_newline=True, trim_blocks=True)  # noqa: S701
    templates.filters |= {"regex_replace": regex_replace, "to_json": json.dumps}
    meant = {"MP_TEXT": "a \"word\", $HOME, `date`, \\n and 'more'", "MP_JSON": {"bars": "127.0.0.1"}}
    text = (ANSIBLE / "roles/unit/templates/environment.j2").read_text()
    (tmp_path / "unit.env").write_text(templates.from_string(text).render(item={"variables": meant}))
    # In double quotes systemd takes the escapes that a shell takes.
    read = ["sh", "-c", f"set -a; . {tmp_path}/unit.env; printenv MP_TEXT; printenv MP_JSON"]
    told, told_json = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == meant["MP_TEXT"]
    assert json.loads(told_json) == meant["MP_JSON"]


def test_java_is_told_where_systemd_puts_its_password_for_kafka() -> None:
    role = yaml.safe_load((ANSIBLE / "roles/consumer/vars/main.yml").read_text())
    settings = role["_consumer_spark_settings"]
    for key, unit in (("driver", "consumer"), ("executor", "spark-worker")):
        path = f"market-pulse-{unit}.service/mp_kafka_consumer_jaas"
        assert settings[f"spark.{key}.extraJavaOptions"].endswith(f"{{{{ _consumer_jaas }}}}{path}")
        assert "mp_kafka_consumer_jaas" in dict(value.split(":") for value in unit_values(unit, "LoadCredential"))


def test_the_broker_reads_its_key_where_systemd_puts_it() -> None:
    role = yaml.safe_load((ANSIBLE / "roles/kafka/vars/main.yml").read_text())
    (credential,) = unit_values("kafka", "LoadCredential")
    name = credential.split(":")[0]
    assert role["_kafka_keystore"] == f"/run/credentials/market-pulse-kafka.service/{name}"
    assert role["_kafka_admin_properties"]["ssl.keystore.location"].endswith(f"/{name}")
    assert name == BrokerSettings.model_construct(credentials_directory=Path("/")).keystore.name


def test_every_principal_has_a_password_in_the_vault() -> None:
    role = yaml.safe_load((ANSIBLE / "roles/kafka/vars/main.yml").read_text())
    secrets = group_vars("secrets")
    for principal in Principal:
        name = f"market_pulse_kafka_{principal}_password"
        assert secrets[name] == f"{{{{ vault_{name} }}}}"
        assert role["_kafka_passwords"][principal] == f"{{{{ {name} }}}}"
    assert set(role["_kafka_passwords"]) == set(Principal)
    assert f'username="{Principal.CONSUMER}"' in group_vars("pipeline")["market_pulse_kafka_consumer_jaas"]


def test_the_producer_reads_again_what_its_unit_read() -> None:
    (configuration,) = unit_values("producer", "ConfigurationDirectory")
    assert unit_values("producer", "EnvironmentFile") == [f"/etc/{configuration}/{name}" for name in environment.FILES]
    assert "kill -HUP $MAINPID" in " ".join(unit_values("producer", "ExecReload"))
    role = yaml.safe_load((ANSIBLE / "roles/unit/vars/main.yml").read_text())
    assert Path(role["_unit_reload_file"]).name == environment.FILES[1].replace("producer", "{{ unit_name }}")
    assert Path(role["_unit_reload_stamp"]).name == environment.STAMP


@pytest.mark.parametrize("name", ["kafka", "spark-master", "spark-worker", "consumer", "pgadmin"])
def test_a_program_of_others_runs_under_its_own_probe(name: str) -> None:
    start = unit_values(name, "ExecStart")
    assert start[1:5] == ["-m", "market_pulse.supervise", name, "--"]
    assert name in PROBES


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_belongs_to_the_target(name: str) -> None:
    assert unit_values(name, "PartOf") == ["market-pulse.target"]
    # What the target wants it waits for, and a job may take hours: its timer is wanted in its place.
    assert unit_values(name, "WantedBy") == ([] if name in JOBS else ["market-pulse.target"])


@pytest.mark.parametrize("name", DAEMONS)
def test_every_daemon_is_watched(name: str) -> None:
    assert unit_values(name, "Type") == ["notify"]
    assert unit_values(name, "NotifyAccess") == ["main"]
    assert unit_values(name, "WatchdogSec")
    assert unit_values(name, "Restart") == ["always"]


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_bounded(name: str) -> None:
    for limit in ("LimitNOFILE", "TasksMax"):
        (value,) = unit_values(name, limit)
        assert int(value) > 0
    tasks = [path.read_text() for path in (ANSIBLE / "roles" / ROLES[name][0] / "tasks").glob("*.yml")]
    named = f"      {name}: " if name in AT_NIGHT else f"unit_name: {name}\n"
    (call,) = [text for text in tasks if named in text and ("unit_environment:" in text or name in AT_NIGHT)]
    # Where a variable decides how much memory it takes, the limit follows from that.
    assert bool(unit_values(name, "MemoryMax")) != ("unit_memory_max:" in call)


@pytest.mark.parametrize(
    ("role", "limit", "sizes"),
    [
        ("kafka", "_kafka_memory_max", {"kafka_heap"}),
        ("spark", "_spark_master_memory_max", {"spark_daemon_memory"}),
        ("spark", "_spark_worker_memory_max", {"spark_daemon_memory", "spark_worker_memory", "spark_worker_cores"}),
        ("consumer", "_consumer_memory_max", {"consumer_driver_memory"}),
    ],
)
def test_a_memory_limit_follows_the_sizes_that_are_settable(role: str, limit: str, sizes: set[str]) -> None:
    folder = ANSIBLE / "roles" / role
    template = yaml.safe_load((folder / "vars/main.yml").read_text())[limit]
    values = yaml.safe_load((folder / "defaults/main.yml").read_text())
    templates = jinja2.Environment(autoescape=False)  # noqa: S701 - it is no HTML
    templates.filters["human_to_bytes"] = human_to_bytes

    def limited(**changed: object) -> int:
        return int(templates.from_string(template).render(values | changed))

    for name in sizes:
        more: object = 8 if isinstance(values[name], int) else "5g"
        grown = 6 * 512 * 1024**2 if isinstance(values[name], int) else 5 * 1024**3 - human_to_bytes(values[name])
        assert limited(**{name: more}) == limited() + grown, name


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_comes_again_though_the_host_was_off(name: str) -> None:
    assert unit_values(name, "Type") == ["oneshot"]
    # Without it a run that hangs would be the last one: the timer starts nothing that runs already.
    assert unit_values(name, "TimeoutStartSec")
    timer = (SYSTEMD / f"market-pulse-{name}.timer").read_text().splitlines()
    assert {"Persistent=true", "PartOf=market-pulse.target", "WantedBy=market-pulse.target"} <= set(timer)
    # A backup is as good an hour after a boot as at once, and the bars need the disk then.
    keys = {"OnCalendar"} if name in AT_NIGHT else {"OnBootSec", "OnCalendar"}
    assert EVERY_MINUTE in timer or {line.split("=")[0] for line in timer} >= keys


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_failed_is_tried_again_within_the_hour(name: str) -> None:
    if EVERY_MINUTE in (SYSTEMD / f"market-pulse-{name}.timer").read_text().splitlines():
        return
    assert unit_values(name, "Restart") == ["on-failure"]
    (pause,) = unit_values(name, "RestartSec")
    assert pause.endswith("min")
    assert 1 <= int(pause.removesuffix("min")) <= 60


def test_every_timer_has_its_job() -> None:
    assert sorted(path.stem for path in SYSTEMD.glob("*.timer")) == sorted(f"market-pulse-{name}" for name in JOBS)


@pytest.mark.parametrize("name", DAEMONS)
def test_a_hang_is_over_within_two_watchdog_intervals(name: str) -> None:
    (watchdog,), (abort,), (pause,) = (
        unit_values(name, key) for key in ("WatchdogSec", "TimeoutAbortSec", "RestartSec")
    )
    spent = float(watchdog[:-1]) + 2 * float(abort[:-1]) + float(pause[:-1])
    assert spent < 2 * float(watchdog[:-1])


def test_units_start_after_what_receives_from_them() -> None:
    order = {f"market-pulse-{name}.service": position for position, name in enumerate(UNITS)}
    for name in UNITS:
        ours = [order[other] for other in unit_values(name, "After") if other in order]
        assert all(position < order[f"market-pulse-{name}.service"] for position in ours)
    assert "market-pulse-consumer.service" in unit_values("producer", "After")
    assert "market-pulse-kafka.service" in unit_values("consumer", "After")
    for name in ("consumer", "auditor", *JOBS):
        assert "postgresql.service" in unit_values(name, "After")
    assert "market-pulse-spark-master.service" in unit_values("spark-worker", "After")


@pytest.mark.parametrize("name", UNITS)
def test_no_unit_takes_away_what_postgresql_shares_with_its_sessions(name: str) -> None:
    is_postgresql = unit_values(name, "User") == ["postgres"]
    assert is_postgresql is (name in AT_NIGHT)
    sandbox = [SYSTEMD / "market-pulse-.service.d", SYSTEMD / f"market-pulse-{name}.service.d"]
    # The last one counts.
    files = sorted((path for folder in sandbox for path in folder.glob("*.conf")), key=lambda path: path.name)
    lines = [line for path in files for line in path.read_text().splitlines() if line.startswith("RemoveIPC=")]
    assert lines[-1] == f"RemoveIPC={'false' if is_postgresql else 'true'}"


@pytest.mark.parametrize("name", AT_NIGHT)
def test_backups_are_where_the_units_have_them(name: str) -> None:
    repository = PATHS["backups"]
    unit = (SYSTEMD / f"market-pulse-{name}.service").read_text().splitlines()
    assert f"RequiresMountsFor={repository}" in unit
    assert (repository in unit_values(name, "ReadWritePaths")) is (name == "backup")
    dropin = (SYSTEMD / POSTGRESQL_DROPINS[1]).read_text().splitlines()
    assert f"ReadWritePaths=-{repository}" in dropin
    role = yaml.safe_load((ANSIBLE / "roles/postgresql/vars/main.yml").read_text())
    assert role["_postgresql_backups"]["lock-path"] in unit_values("backup", "ReadWritePaths")


def test_what_the_page_says_of_backups_is_so() -> None:
    page = (ROOT / "docs/backups.md").read_text()
    facts = group_vars("pipeline")
    for name, value in facts.items():
        if name.startswith("market_pulse_backup_") and isinstance(value, int):
            assert f"| `{name}` | {value} |" in page
    stanzas = set(re.findall(r"--stanza=(\S+)", page))
    assert stanzas == {facts["market_pulse_backup_stanza"]}
    assert f"`{PATHS['backups']}`" in page
    assert f"`{PATHS['state']}/restore-proof`" in page
    for name, hour in (("backup", "02:00"), ("restore-proof", "03:30")):
        assert f"OnCalendar=*-*-* {hour}:00 UTC" in (SYSTEMD / f"market-pulse-{name}.timer").read_text().splitlines()
        assert re.search(rf"`market-pulse-{name}`[^.]*{hour} UTC", page, re.DOTALL)


def test_the_journal_names_the_unit_not_the_interpreter() -> None:
    dropin = (SYSTEMD / "market-pulse-.service.d" / "10-hardening.conf").read_text()
    assert "SyslogIdentifier=%N" in dropin.splitlines()


@pytest.mark.parametrize("path", sorted(SYSTEMD.rglob("*.*")), ids=lambda path: path.name)
def test_units_are_plain_files(path: Path) -> None:
    if path.is_file():
        assert "{" not in path.read_text()
