import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_pulse import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The service manager's end of the notification socket."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setenv("WATCHDOG_PID", "1")
        yield listener


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[notify.SystemdNotifier]:  # noqa: ARG001 - it has to listen first
    made = notify.from_environment()
    assert isinstance(made, notify.SystemdNotifier)
    yield made
    made.close()


def test_every_message_reaches_the_manager(manager: socket.socket, notifier: notify.SystemdNotifier) -> None:
    notifier.extend_start(2.5)
    notifier.ready("serving")
    notifier.watchdog()
    notifier.status("idle")
    notifier.stopping()
    assert [manager.recv(4096) for _ in range(5)] == [
        b"EXTEND_TIMEOUT_USEC=2500000",
        b"READY=1\nSTATUS=serving",
        b"WATCHDOG=1",
        b"STATUS=idle",
        b"STOPPING=1",
    ]


def test_a_reload_bears_the_instant_at_which_it_began(manager: socket.socket, notifier: notify.SystemdNotifier) -> None:
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    told = dict(line.split("=") for line in manager.recv(4096).decode().splitlines())
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_a_status_is_one_line_of_ascii(manager: socket.socket, notifier: notify.SystemdNotifier) -> None:
    notifier.status("Zürich →\nREADY=1")
    assert manager.recv(4096) == b"STATUS=Z?rich ? READY=1"


@pytest.mark.usefixtures("manager")
def test_the_watchdog_interval_is_the_unit_s(notifier: notify.SystemdNotifier) -> None:
    assert notifier.watchdog_seconds == 30.0


@pytest.mark.usefixtures("manager", "notifier")
def test_children_do_not_inherit_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        with pytest.raises(KeyError):
            monkeypatch.delenv(name)


def test_an_error_while_sending_is_raised(manager: socket.socket, notifier: notify.SystemdNotifier) -> None:
    manager.close()
    with pytest.raises(ConnectionRefusedError):
        notifier.watchdog()


def test_off_systemd_nothing_is_said_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = notify.from_environment()
    notifier.extend_start(1)
    notifier.ready("serving")
    notifier.watchdog()
    notifier.status("idle")
    notifier.stopping()
    assert notifier.watchdog_seconds is None
