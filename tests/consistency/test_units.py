"""The units: what systemd itself says of them, how exposed they are, and how they begin, end and come again."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.module_utils.common.text.formatters import human_to_bytes

from support.repository import ANSIBLE, ROOT, group_vars, role_vars
from support.units import AT_NIGHT, DAEMONS, JOBS, PATHS, ROLES, SYSTEMD, UNITS, unit_values

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
    role = role_vars("postgresql")
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
