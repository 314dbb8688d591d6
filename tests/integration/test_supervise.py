"""The supervisor as systemd runs it: real child processes, a real notification socket, the consumer's real probe."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WATCHDOG_SECONDS = 0.9
REPORT = {"state": "running", "batch_id": 1, "batch_rows": 0, "rows_total": 0, "last_batch_at": None, "behind": 0}

# A driver in small: shows its environment and its signals, and reports until it is told to fall silent by a file.
DRIVER = """
import itertools, json, os, pathlib, signal, sys, time
from datetime import UTC, datetime
from market_pulse import progress
here = pathlib.Path(os.environ["RUNTIME_DIRECTORY"])
(here / "environment").write_text(json.dumps(dict(os.environ)))
def leave(number, frame):
    (here / "signal").write_text(signal.Signals(number).name)
    if number == signal.SIGTERM:
        sys.exit(143)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, leave)
(here / "up").touch()
for count in itertools.count():
    if not (here / "silent").exists():
        progress.write(here / progress.NAME, {**REPORT, "at": datetime.now(UTC).isoformat()})
    time.sleep(0.05)
""".replace("REPORT", repr(REPORT))


class Manager:
    """The service manager's side: what the unit's main process said, in order."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.heard: list[str] = []

    def hear(self, matches: Callable[[str], bool], seconds: float = 20) -> str:
        """Return the next message that matches, or fail."""
        deadline = time.monotonic() + seconds
        while True:
            self._listener.settimeout(max(0.001, deadline - time.monotonic()))
            message = self._listener.recv(4096).decode("ascii")
            self.heard.append(message)
            if matches(message):
                return message

    def silence(self, matches: Callable[[str], bool], seconds: float) -> None:
        """Fail if a message that matches arrives within this time."""
        with pytest.raises(TimeoutError):
            self.hear(matches, seconds)


def starts(text: str) -> Callable[[str], bool]:
    return lambda message: message.startswith(text)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        yield Manager(listener)


@pytest.fixture
def supervise(tmp_path: Path, manager: Manager) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    assert manager.heard == []
    running: list[subprocess.Popen[str]] = []

    def start(*command: str, watchdog: float = WATCHDOG_SECONDS) -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "market_pulse.supervise", "consumer", "--", *command],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "RUNTIME_DIRECTORY": str(tmp_path),
                    "NOTIFY_SOCKET": str(tmp_path / "notify"),
                    "WATCHDOG_USEC": str(int(watchdog * 1_000_000)),
                },
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
            )
        )
        return running[-1]

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_program_is_ready_when_its_probe_says_so(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    (tmp_path / "silent").touch()
    supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("EXTEND_TIMEOUT_USEC="))
    manager.hear(starts("STATUS=starting: no report"))
    manager.hear(starts("EXTEND_TIMEOUT_USEC="))
    assert not [said for said in manager.heard if said.startswith(("READY", "WATCHDOG"))]
    (tmp_path / "silent").unlink()
    assert manager.hear(starts("READY=1")) == (
        "READY=1\nSTATUS=running: nothing waits, 0 records stored since the start, batch 1"
    )
    manager.hear(starts("WATCHDOG=1"))
    manager.hear(starts("WATCHDOG=1"))


def test_without_progress_the_watchdog_is_left_alone(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("WATCHDOG=1"))
    (tmp_path / "silent").touch()
    manager.hear(starts("STATUS=stuck: no news from the Spark driver"))
    manager.silence(starts("WATCHDOG=1"), 2 * WATCHDOG_SECONDS)
    (tmp_path / "silent").unlink()
    manager.hear(starts("WATCHDOG=1"))


def test_a_stopped_program_is_without_progress(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    supervise("sh", "-c", f'echo $$ > {tmp_path}/pid; exec "$0" "$@"', sys.executable, "-c", DRIVER)
    manager.hear(starts("WATCHDOG=1"))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
    manager.hear(starts("STATUS=stuck"))
    manager.silence(starts("WATCHDOG=1"), 2 * WATCHDOG_SECONDS)


def test_a_probe_that_hangs_sends_no_watchdog_and_holds_up_nobody(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    unit = supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("WATCHDOG=1"))
    (tmp_path / "silent").touch()
    manager.hear(starts("STATUS=stuck"))
    # Opening a pipe without a writer blocks for ever, and so does the probe.
    (tmp_path / "progress.json").unlink()
    os.mkfifo(tmp_path / "progress.json")
    manager.silence(starts("WATCHDOG=1"), 2 * WATCHDOG_SECONDS)
    unit.send_signal(signal.SIGTERM)
    assert unit.wait(10) == 143


def test_a_probe_that_raises_is_a_verdict_and_ends_nobody(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    unit = supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("WATCHDOG=1"))
    (tmp_path / "silent").touch()
    manager.hear(starts("STATUS=stuck"))
    # Nothing that a driver does makes a directory of its report, so the probe does not expect it.
    (tmp_path / "progress.json").unlink()
    (tmp_path / "progress.json").mkdir()
    manager.hear(starts("STATUS=the probe failed: IsADirectoryError: "))
    (tmp_path / "progress.json").rmdir()
    (tmp_path / "silent").unlink()
    manager.hear(starts("WATCHDOG=1"))
    assert unit.poll() is None
    unit.send_signal(signal.SIGTERM)
    _, journal = unit.communicate(timeout=10)
    assert journal.count("no progress: ") == 1
    assert "Traceback" not in journal


def test_the_program_does_not_see_the_manager(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("READY=1"))
    environment = json.loads((tmp_path / "environment").read_text())
    assert "RUNTIME_DIRECTORY" in environment
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & environment.keys()


def test_term_reaches_the_program_and_its_exit_code_comes_back(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    unit = supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("READY=1"))
    unit.send_signal(signal.SIGTERM)
    manager.hear(starts("STOPPING=1"))
    assert unit.wait(10) == 143
    assert (tmp_path / "signal").read_text() == "SIGTERM"
    manager.hear(starts("STATUS=stopping"))
    manager.silence(starts(""), 0.1)


def test_other_signals_reach_the_program_and_change_nothing(
    supervise: Callable[..., subprocess.Popen[str]], manager: Manager, tmp_path: Path
) -> None:
    unit = supervise(sys.executable, "-c", DRIVER)
    manager.hear(starts("READY=1"))
    unit.send_signal(signal.SIGHUP)
    manager.hear(starts("WATCHDOG=1"))
    manager.hear(starts("WATCHDOG=1"))
    assert (tmp_path / "signal").read_text() == "SIGHUP"
    assert unit.poll() is None


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -ABRT $$", 134)]
)
def test_the_exit_code_is_the_program_s(
    supervise: Callable[..., subprocess.Popen[str]], script: str, code: int
) -> None:
    assert supervise("sh", "-c", script).wait(20) == code


def test_a_program_that_cannot_start_is_said(supervise: Callable[..., subprocess.Popen[str]]) -> None:
    unit = supervise("/nonexistent/java")
    _, journal = unit.communicate(timeout=20)
    assert unit.returncode == 1
    assert "No such file or directory: '/nonexistent/java'" in journal


@pytest.mark.parametrize("arguments", [[], ["consumer"], ["consumer", "--"], ["mainframe", "--", "true"]])
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "market_pulse.supervise", *arguments],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == os.EX_USAGE
    assert done.stderr.startswith("usage: python -m market_pulse.supervise {consumer,kafka,")
