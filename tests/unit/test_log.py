import logging
import os
import signal
import subprocess
import sys

import pytest

from market_pulse import log


def run(body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = f"import logging, os, signal\nfrom market_pulse import errors, log\nlog.setup()\n{body}\n"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("level", "prefix"), [("DEBUG", None), ("INFO", "<6>"), ("WARNING", "<4>"), ("ERROR", "<3>"), ("CRITICAL", "<2>")]
)
def test_the_journal_gets_each_event_at_its_level(level: str, prefix: str | None) -> None:
    done = run(f"log.event(logging.getLogger('x'), logging.{level}, 'bars published', count=3)", JOURNAL_STREAM="8:1")
    assert done.stderr == (f"{prefix}bars published: count=3\n" if prefix else "")


def test_a_terminal_gets_no_prefix() -> None:
    assert run("log.event(logging.getLogger('x'), logging.INFO, 'started')").stderr == "started\n"


def test_every_line_of_an_unexpected_error_has_its_level() -> None:
    done = run("raise ValueError('first\\nsecond')", JOURNAL_STREAM="8:1")
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0] == "<2>stopped by an error nobody expected"
    assert lines[-1] == "<2>second"
    assert all(line.startswith("<2>") for line in lines)


def test_an_error_meant_for_the_operator_is_one_line() -> None:
    done = run("raise errors.SettingsError('MP_TOPIC: missing')", JOURNAL_STREAM="8:1")
    assert done.stderr == "<2>stopped: MP_TOPIC: missing\n"
    assert done.returncode == 1


def test_a_process_that_may_open_no_more_files_says_what_to_raise() -> None:
    script = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)); open('/dev/null')"
    done = run(script, JOURNAL_STREAM="8:1")
    assert done.stderr == "<2>stopped: Too many open files: the unit needs a higher LimitNOFILE=\n"
    assert done.returncode == 1


def test_the_watchdog_s_signal_leaves_a_traceback() -> None:
    done = run("def stuck():\n    os.kill(os.getpid(), signal.SIGABRT)\nstuck()")
    assert done.returncode == -signal.SIGABRT
    assert "in stuck" in done.stderr


def test_values_with_spaces_are_quoted(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("market_pulse.test")
    with caplog.at_level(logging.INFO, logger.name):
        log.event(logger, logging.INFO, "answer refused", reason="no data key", symbol="BRK.B", note="", name=None)
    assert caplog.messages == ["answer refused: reason='no data key' symbol=BRK.B note='' name=None"]
