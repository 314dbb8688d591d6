"""The units: what systemd itself says of them, how exposed they are, and that their names are the code's names."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from market_pulse.probes import PROBES
from market_pulse.probes.consumer import ConsumerProbeSettings
from market_pulse.probes.kafka import KafkaProbeSettings
from market_pulse.probes.spark import MasterProbeSettings, WorkerProbeSettings
from market_pulse.producer.settings import ProducerSettings
from market_pulse.settings import Settings
from market_pulse.simulator.settings import SimulatorSettings
from market_pulse_stream.settings import ConsumerSettings
from support.repository import ANSIBLE, ROOT, group_vars

SYSTEMD = ROOT / "systemd"
PATHS = group_vars("pipeline")["market_pulse_paths"]
UNITS = ["kafka", "spark-master", "spark-worker", "consumer", "simulator", "producer"]
# systemd-analyze's exposure, times ten, that a unit may have at most.
EXPOSURE = {"kafka": 15, "spark-master": 16, "spark-worker": 16, "consumer": 16, "simulator": 13, "producer": 13}
SETTINGS: dict[str, list[type[Settings]]] = {
    "kafka": [KafkaProbeSettings],
    "spark-master": [MasterProbeSettings],
    "spark-worker": [WorkerProbeSettings],
    "consumer": [ConsumerProbeSettings, ConsumerSettings],
    "simulator": [SimulatorSettings],
    "producer": [ProducerSettings],
}
# The roles whose variables end in a unit's environment file.
ROLES = {
    "kafka": ["kafka"],
    "spark-master": ["spark"],
    "spark-worker": ["spark"],
    "consumer": ["consumer"],
    "simulator": ["simulator"],
    "producer": ["producer", "simulator"],
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


def test_every_unit_is_in_this_test() -> None:
    assert sorted(path.name for path in SYSTEMD.glob("*.service")) == sorted(f"market-pulse-{n}.service" for n in UNITS)


def test_systemd_finds_nothing_to_say() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, SYSTEMD.glob("*.*e*t*"))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{SYSTEMD}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    # The programs are on the hosts, not here.
    said = [line for line in done.stderr.splitlines() if not re.search(r"Command \S+ is not executable", line)]
    assert said == []


@pytest.mark.parametrize("name", UNITS)
def test_exposure_is_within_its_bound(name: str, tmp_path: Path) -> None:
    shutil.copytree(SYSTEMD, tmp_path / "etc/systemd/system")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--root={tmp_path}"]
    done = subprocess.run(
        [*command, f"--threshold={EXPOSURE[name]}", f"market-pulse-{name}.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_reads_its_own_environment_file_and_directories(name: str) -> None:
    assert unit_values(name, "EnvironmentFile") == [f"{PATHS['config']}/{name}.env"]
    assert unit_values(name, "StateDirectory") == [f"{Path(PATHS['state']).name}/{name}"]
    assert unit_values(name, "RuntimeDirectory") == [f"market-pulse-{name}"]


@pytest.mark.parametrize("name", UNITS)
def test_what_a_unit_names_is_where_the_roles_put_it(name: str) -> None:
    named = [word for word in unit_values(name, "ExecStart") if word.startswith("/") and not word.startswith("/usr/")]
    assert named
    assert [word for word in named if not any(word.startswith(f"{path}/") for path in PATHS.values())] == []


@pytest.mark.parametrize("name", UNITS)
def test_what_the_settings_require_the_roles_write(name: str) -> None:
    assert fields(name, secret=False, required_only=True) - role_variables(name) == set()


@pytest.mark.parametrize("role", sorted({role for roles in ROLES.values() for role in roles}))
def test_what_a_role_writes_somebody_reads(role: str) -> None:
    units = [name for name in UNITS if role in ROLES[name]]
    written = {found for name in units if ROLES[name] == [role] for found in role_variables(name)}
    read = {field for name in units for field in fields(name, secret=False)}
    read |= {word.removeprefix("$") for name in units for word in unit_values(name, "ExecStart")}
    assert written - read == set()


@pytest.mark.parametrize("name", UNITS)
def test_credentials_are_the_settings_secrets(name: str) -> None:
    expected = fields(name, secret=True)
    if name == "spark-worker":
        # Its executors run the consumer's sink.
        expected = {"mp_postgresql_writer_password"}
    loaded = dict(value.split(":") for value in unit_values(name, "LoadCredential"))
    assert loaded == {credential: f"{PATHS['credentials']}/{credential}" for credential in expected}


@pytest.mark.parametrize("name", ["kafka", "spark-master", "spark-worker", "consumer"])
def test_a_jvm_runs_under_its_own_probe(name: str) -> None:
    start = unit_values(name, "ExecStart")
    assert start[1:5] == ["-m", "market_pulse.supervise", name, "--"]
    assert name in PROBES


@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_watched_and_belongs_to_the_target(name: str) -> None:
    assert unit_values(name, "Type") == ["notify"]
    assert unit_values(name, "NotifyAccess") == ["main"]
    assert unit_values(name, "WatchdogSec")
    assert unit_values(name, "Restart") == ["always"]
    assert unit_values(name, "PartOf") == unit_values(name, "WantedBy") == ["market-pulse.target"]


@pytest.mark.parametrize("name", UNITS)
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
    assert "postgresql.service" in unit_values("consumer", "After")
    assert "market-pulse-spark-master.service" in unit_values("spark-worker", "After")


def test_the_journal_names_the_unit_not_the_interpreter() -> None:
    dropin = (SYSTEMD / "market-pulse-.service.d" / "10-hardening.conf").read_text()
    assert "SyslogIdentifier=%N" in dropin.splitlines()


@pytest.mark.parametrize("path", sorted(SYSTEMD.rglob("*.*")), ids=lambda path: path.name)
def test_units_are_plain_files(path: Path) -> None:
    if path.is_file():
        assert "{" not in path.read_text()
