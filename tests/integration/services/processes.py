"""Start, await and stop the real services that the integration tests talk to."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from support.waiting import eventually

CACHE = Path(os.environ.get("MARKET_PULSE_CACHE") or Path.home() / ".cache" / "market-pulse")


def require(*paths: Path, say: str) -> None:
    """Fail the test run with a sentence that says what to do unless every path exists."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        pytest.fail(f"{', '.join(missing)} is missing: {say}", pytrace=False)


def wait_until(condition: Callable[[], object], *, what: str, seconds: float, log: Path | None = None) -> None:
    """Wait for a condition; fail with the tail of the log when the deadline passes."""
    try:
        eventually(condition, within=seconds, what=what, every=0.05)
    except AssertionError as error:
        pytest.fail(f"{error}\n{tail(log)}", pytrace=False)


def tail(log: Path | None, lines: int = 60) -> str:
    """Return the last lines of a log file, for the message of a failure."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service in the foreground until the block ends; it dies with this process too."""
    # Without the parent-death signal a killed test run would leave its services behind.
    guard = ["setpriv", "--pdeathsig", "KILL"]
    if user is not None:
        guard += ["--reuid", user, "--regid", user, "--init-groups"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*guard, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        stop(process, stop_signal)


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
    """Stop a process, politely first, and return its exit code."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def java() -> str:
    """Return the path of the JVM."""
    found = shutil.which("java")
    if found is None:
        pytest.fail("java is missing: install a JRE (make test does, by apt)", pytrace=False)
    return found
