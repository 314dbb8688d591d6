"""The unit's files read again while the producer runs, and the signal that asks for it."""

import os
import signal
import time
from pathlib import Path

import pytest

from market_pulse.errors import SettingsError
from market_pulse.producer.environment import STAMP, Environment, FileSettings, Places
from market_pulse.producer.settings import ProducerSettings
from market_pulse.signals import Signals
from unit.test_producer_settings import GOOD

SYMBOLS = "MP_SYMBOLS"
SECRETS = ("MP_VENDOR_API_KEY", "MP_KAFKA_PASSWORD")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in SECRETS:
        (credentials / name.lower()).write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    _write(tmp_path)
    for name, value in GOOD.items():
        if name not in SECRETS:
            monkeypatch.setenv(name, value)
    return tmp_path


def _write(folder: Path, symbols: str = "IBM,BRK.B", **changes: str) -> None:
    """Write the files as the role does."""
    rest = {name: value for name, value in GOOD.items() if name not in (SYMBOLS, *SECRETS)}
    lines = [f'{name}="{value}"\n' for name, value in {**rest, **changes}.items()]
    (folder / "producer.env").write_text("# Ansible managed\n" + "".join(lines))
    (folder / "producer-reload.env").write_text(f'# Ansible managed\n{SYMBOLS}="{symbols}"\n')


def _environment(folder: Path) -> Environment:
    return Environment(folder, folder, ProducerSettings.load())


def test_symbols_come_from_the_file_not_from_the_environment_of_the_start(folder: Path) -> None:
    environment = _environment(folder)
    assert environment.read_again() == (environment.settings, [])
    _write(folder, "MSFT,IBM")
    settings, later = environment.read_again()
    assert (settings.symbols, later) == (("MSFT", "IBM"), [])
    assert environment.settings.symbols == ("MSFT", "IBM")


def test_whatever_else_changed_waits_for_a_restart_and_is_named(folder: Path) -> None:
    environment = _environment(folder)
    _write(folder, "MSFT", MP_INTERVAL="5min", MP_TOPIC="other")
    settings, later = environment.read_again()
    assert later == ["MP_TOPIC", "MP_INTERVAL"]
    assert (settings.symbols, settings.topic, settings.interval) == (("MSFT",), "market.bars", "1min")


@pytest.mark.parametrize(
    ("symbols", "sentence"), [("ibm", "MP_SYMBOLS: 'ibm' is not a symbol"), ("", "MP_SYMBOLS: Field required")]
)
def test_a_wrong_file_is_refused_and_leaves_everything_and_the_stamp(folder: Path, symbols: str, sentence: str) -> None:
    environment = _environment(folder)
    environment.read_again()
    stamped = (folder / STAMP).stat().st_mtime_ns
    _write(folder, symbols)
    os.utime(folder / "producer-reload.env", ns=(stamped + 10**9, stamped + 10**9))
    with pytest.raises(SettingsError, match=sentence):
        environment.read_again()
    assert environment.settings.symbols == ("IBM", "BRK.B")
    assert (folder / STAMP).stat().st_mtime_ns == stamped


def test_the_stamp_bears_the_time_of_the_file_that_was_read(folder: Path) -> None:
    environment = _environment(folder)
    environment.read_again()
    assert (folder / STAMP).stat().st_mtime_ns == (folder / "producer-reload.env").stat().st_mtime_ns


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "producer-reload.env").unlink()
    with pytest.raises(SettingsError, match=r"producer-reload\.env cannot be read"):
        FileSettings.read(folder, None)


def test_without_a_state_directory_there_is_no_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with pytest.raises(SettingsError, match="STATE_DIRECTORY is missing"):
        Places.from_environment()


def test_a_hangup_ends_one_wait_and_is_told_once() -> None:
    with Signals(can_reload=True) as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        started = time.monotonic()
        signals.wait(30)
        assert time.monotonic() - started < 10
        assert (signals.take_reload(), signals.take_reload(), signals.stopping) == (True, False, False)
        # The next wait is a wait again.
        started = time.monotonic()
        signals.wait(0.2)
        assert time.monotonic() - started >= 0.2
        os.kill(os.getpid(), signal.SIGTERM)
        signals.wait(30)
        assert signals.stopping
        assert time.monotonic() - started < 10
