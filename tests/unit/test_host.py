"""What a host must have, and what it is seen to have."""

import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from market_pulse.cli import host_facts
from market_pulse.cli.finding import Finding, Level
from market_pulse.cli.host import Certificate, FileSystem, Host, findings

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
ROOMY = FileSystem("/var/lib/market-pulse", 69 * 1024**3, 31 * 1024**3, 69, 31)
VALID = Certificate("/etc/market-pulse/ca.crt", NOW + timedelta(days=31))
WELL = Host((ROOMY,), 1024**3, clock_synchronised=True, clock_step_seconds=0.2, certificates=(VALID,))


def found(host: Host) -> list[Finding]:
    return list(findings(host, NOW))


def test_a_host_that_has_all_is_not_mentioned() -> None:
    assert found(WELL) == []
    assert found(replace(WELL, clock_synchronised=None, clock_step_seconds=None, certificates=())) == []
    assert found(replace(WELL, file_systems=(replace(ROOMY, used_inodes=0, available_inodes=0),))) == []


@pytest.mark.parametrize(
    ("changes", "level", "key", "sentence"),
    [
        (
            {"file_systems": (replace(ROOMY, used_bytes=70 * 1024**3, available_bytes=30 * 1024**3),)},
            Level.ATTENTION,
            "disk /var/lib/market-pulse",
            "70% of the disk under /var/lib/market-pulse is used, 30.0 GiB are left",
        ),
        (
            {"file_systems": (ROOMY, replace(ROOMY, path="/var/log", used_bytes=85, available_bytes=15))},
            Level.DOWN,
            "disk /var/log",
            "85% of the disk under /var/log is used, 0.0 GiB are left",
        ),
        (
            {"file_systems": (replace(ROOMY, used_inodes=84, available_inodes=16),)},
            Level.ATTENTION,
            "inodes /var/lib/market-pulse",
            "84% of the inodes under /var/lib/market-pulse is used, 16 are left",
        ),
        (
            {"file_systems": (replace(ROOMY, used_inodes=1, available_inodes=0),)},
            Level.DOWN,
            "inodes /var/lib/market-pulse",
            "100% of the inodes under /var/lib/market-pulse is used, 0 are left",
        ),
        (
            {"memory_available_bytes": 256 * 1024**2 - 1},
            Level.ATTENTION,
            "memory",
            "only 255 MiB of memory are available",
        ),
        (
            {"clock_synchronised": False},
            Level.ATTENTION,
            "clock",
            "the clock is not synchronised with any other: see timedatectl",
        ),
        (
            {"clock_step_seconds": 3600.4},
            Level.ATTENTION,
            "clock step",
            (
                "the clock was set by +3600 s since the producer started; once it is right: "
                "systemctl restart market-pulse-producer"
            ),
        ),
        (
            {"clock_step_seconds": -5.6},
            Level.ATTENTION,
            "clock step",
            (
                "the clock was set by -6 s since the producer started; once it is right: "
                "systemctl restart market-pulse-producer"
            ),
        ),
        (
            {"certificates": (VALID, replace(VALID, path="/etc/x.crt", ends_at=NOW + timedelta(days=30)))},
            Level.ATTENTION,
            "certificate /etc/x.crt",
            (
                "/etc/x.crt ends on 2026-02-04; on the control machine: "
                "ansible-playbook -i inventories/NAME secrets.yml site.yml"
            ),
        ),
        (
            {"certificates": (replace(VALID, ends_at=NOW),)},
            Level.DOWN,
            "certificate /etc/market-pulse/ca.crt",
            (
                "/etc/market-pulse/ca.crt ended on 2026-01-05; on the control machine: "
                "ansible-playbook -i inventories/NAME secrets.yml site.yml"
            ),
        ),
    ],
)
def test_what_a_host_lacks_is_said(changes: dict[str, object], level: Level, key: str, sentence: str) -> None:
    assert found(replace(WELL, **changes)) == [Finding(level, sentence, key, of_host=True)]  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [5.0, -5.0, 0.0])
def test_a_clock_that_is_led_back_gently_is_no_step(seconds: float) -> None:
    assert found(replace(WELL, clock_step_seconds=seconds)) == []


def test_a_file_system_is_named_once_and_measured_as_df_does(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    (seen,) = host_facts.file_systems([tmp_path, tmp_path / "kafka"])
    assert seen.path == str(tmp_path)
    printed = subprocess.run(
        ["df", "--block-size=1", "--output=used,avail,iused,iavail", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    used, available, used_inodes, available_inodes = map(int, printed.stdout.splitlines()[1].split())
    # Others write to the same disk meanwhile.
    assert seen.used_bytes == pytest.approx(used, abs=1e9)
    assert seen.available_bytes == pytest.approx(available, abs=1e9)
    assert seen.used_inodes == pytest.approx(used_inodes, abs=1e5)
    assert seen.available_inodes == pytest.approx(available_inodes, abs=1e5)


def test_memory_is_what_the_kernel_calls_available() -> None:
    assert host_facts.memory_available("MemTotal: 4 kB\nMemFree: 2 kB\nMemAvailable:     3 kB\n") == 3072
    with pytest.raises(ValueError, match="unpack"):
        host_facts.memory_available("MemTotal: 4 kB\n")


def test_a_certificates_end_is_read(tmp_path: Path) -> None:
    ends = datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC)
    path = tmp_path / "server.crt"
    trustme.CA().issue_cert("db", not_after=ends).cert_chain_pems[0].write_to_path(str(path))
    assert host_facts.certificate(path) == Certificate(str(path), ends)
    path.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(ValueError, match="PEM"):
        host_facts.certificate(path)


START = "ExecMainStartTimestamp=Mon 2026-01-05 15:00:00.500000 UTC\nExecMainStartTimestampMonotonic=100000000\n"


@pytest.mark.parametrize(("passed_by_wall", "step"), [(60.0, 0.0), (3660.0, 3600.0), (-3540.0, -3600.0)])
def test_a_step_is_what_the_wall_clock_and_the_steady_one_do_not_share(passed_by_wall: float, step: float) -> None:
    wall = NOW.timestamp() + 0.5 + passed_by_wall
    assert host_facts.clock_step_seconds(START, wall, monotonic=160.0) == pytest.approx(step)


def test_without_a_producer_no_step_is_known() -> None:
    never = "ExecMainStartTimestamp=\nExecMainStartTimestampMonotonic=0\n"
    assert host_facts.clock_step_seconds(never, 1.0, 1.0) is None


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory before all others where a test puts systemd's programs."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _program(tmp_path, "systemctl", f"printf '{START}'")
    return tmp_path


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("container", "printed", "expected"),
    [("exit 0", "exit 1", None), ("exit 1", "echo yes", True), ("exit 1", "echo no", False)],
)
def test_a_containers_clock_is_that_of_the_host_around_it(
    programs: Path, container: str, printed: str, *, expected: bool | None
) -> None:
    _program(programs, "systemd-detect-virt", container)
    _program(programs, "timedatectl", printed)
    seen = host_facts.look()
    assert seen.clock_synchronised is expected
    assert seen.memory_available_bytes > 0
    assert seen.file_systems
    assert seen.clock_step_seconds is not None


def test_a_program_that_fails_is_no_answer(programs: Path) -> None:
    _program(programs, "systemd-detect-virt", "exit 1")
    _program(programs, "timedatectl", "exit 1")
    with pytest.raises(subprocess.CalledProcessError):
        host_facts.look()
