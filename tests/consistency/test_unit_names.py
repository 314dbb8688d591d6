"""What units, roles and code call the same: variables, credentials, files and probes."""

import json
import re
import subprocess
from pathlib import Path

import jinja2
import pytest
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
from support.repository import ANSIBLE, ROOT, group_vars, role_vars
from support.units import JOBS, PATHS, ROLES, UNITS, unit_values

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
    role = role_vars("consumer")
    settings = role["_consumer_spark_settings"]
    for key, unit in (("driver", "consumer"), ("executor", "spark-worker")):
        path = f"market-pulse-{unit}.service/mp_kafka_consumer_jaas"
        assert settings[f"spark.{key}.extraJavaOptions"].endswith(f"{{{{ _consumer_jaas }}}}{path}")
        assert "mp_kafka_consumer_jaas" in dict(value.split(":") for value in unit_values(unit, "LoadCredential"))


def test_the_broker_reads_its_key_where_systemd_puts_it() -> None:
    role = role_vars("kafka")
    (credential,) = unit_values("kafka", "LoadCredential")
    name = credential.split(":")[0]
    assert role["_kafka_keystore"] == f"/run/credentials/market-pulse-kafka.service/{name}"
    assert role["_kafka_admin_properties"]["ssl.keystore.location"].endswith(f"/{name}")
    assert name == BrokerSettings.model_construct(credentials_directory=Path("/")).keystore.name


def test_every_principal_has_a_password_in_the_vault() -> None:
    role = role_vars("kafka")
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
    role = role_vars("unit")
    assert Path(role["_unit_reload_file"]).name == environment.FILES[1].replace("producer", "{{ unit_name }}")
    assert Path(role["_unit_reload_stamp"]).name == environment.STAMP


@pytest.mark.parametrize("name", ["kafka", "spark-master", "spark-worker", "consumer", "pgadmin"])
def test_a_program_of_others_runs_under_its_own_probe(name: str) -> None:
    start = unit_values(name, "ExecStart")
    assert start[1:5] == ["-m", "market_pulse.supervise", name, "--"]
    assert name in PROBES
