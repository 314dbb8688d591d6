"""A clock that is set at runtime, and set right again: no bar is refused, stored as final too early, or doubled."""

import contextlib
from collections.abc import Iterator

import pytest

from system.faults.injections import PRODUCER, last, overridden
from system.faults.trial import Trial
from system.host import Host
from system.invariants import await_progress

# Debian's libfaketime, of which the process reads this file at every look at the clock.
_BY = "/run/clock-of-the-tests"
_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
_FAKED = (
    f"Environment=LD_PRELOAD={_LIBRARY} FAKETIME_TIMESTAMP_FILE={_BY} FAKETIME_NO_CACHE=1",
    "Environment=FAKETIME_DONT_FAKE_MONOTONIC=1",
)


@pytest.fixture(scope="module")
def _library(host: Host) -> None:
    host.run("apt-get -q -y --no-install-recommends install libfaketime", timeout=300)


@contextlib.contextmanager
def set_by(host: Host, offset: str) -> Iterator[None]:
    """Set the clock of a producer that runs under a clock of its own, and set it right when the block ends."""
    host.run(f"echo {offset} >{_BY}")
    try:
        yield
    finally:
        host.run(f"echo +0 >{_BY}")


@pytest.fixture
def clock_of_its_own(host: Host, _library: None) -> Iterator[None]:
    """Have the producer ask a clock that can be set."""
    host.run(f"echo +0 >{_BY}")
    with overridden(host, PRODUCER, *_FAKED):
        host.run(f"systemctl restart {PRODUCER}")
        await_progress(host, within=90)
        yield
    host.run(f"systemctl restart {PRODUCER}; rm {_BY}")


@pytest.mark.slow
@pytest.mark.usefixtures("clock_of_its_own")
def test_a_clock_that_was_a_day_ahead_costs_no_bar(host: Host, trial: Trial) -> None:
    since = host.journal_cursor()
    with trial("C1", "producer's clock a day ahead for 30 s", within=60), set_by(host, "+1d"):
        last(30)
    said = host.run(f"journalctl -u {PRODUCER} --after-cursor='{since}' -o cat")
    assert "clock ahead of the vendor's" in said
