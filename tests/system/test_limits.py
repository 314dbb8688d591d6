"""A unit that takes too much ends in words and comes back, and takes no other with it."""

import contextlib
from collections.abc import Iterator

import pytest

from support.waiting import eventually
from system.deployment import JOBS, UNITS
from system.faults.injections import born_into
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, await_progress

# Less than they need to start.
TOO_LITTLE = {
    "market-pulse-kafka": 200,
    "market-pulse-consumer": 200,
    "market-pulse-spark-worker": 120,
    "market-pulse-producer": 60,
}
_LIMITS = ("LimitNOFILE", "MemoryMax", "TasksMax")


@contextlib.contextmanager
def limited(host: Host, unit: str, limit: str) -> Iterator[None]:
    """Start a unit again under another limit, and without it when the block ends."""
    dropin = f"/run/systemd/system/{unit}.service.d/90-test.conf"
    host.run(f"install -D -m 0644 /dev/stdin {dropin} && systemctl daemon-reload", stdin=f"[Service]\n{limit}\n")
    try:
        host.run(f"systemctl restart --no-block {unit}")
        yield
    finally:
        host.run(f"rm {dropin} && systemctl daemon-reload && systemctl restart --no-block {unit}")


@contextlib.contextmanager
def short_of_memory(host: Host, unit: str, megabytes: int) -> Iterator[None]:
    """Start a unit again with so little memory, and without a limit of ours when the block ends."""
    if host.run(f"systemctl show -P MemoryCurrent {unit}").isdecimal():
        with limited(host, unit, f"MemoryMax={megabytes}M"):
            yield
        return
    before = host.main_pid(unit)
    with born_into(megabytes):
        host.run(f"systemctl restart --no-block {unit}")
        eventually(lambda: host.main_pid(unit) not in {0, before}, within=60, what=f"{unit} is started again")
    yield


def journal(host: Host, unit: str, since: str) -> list[str]:
    """Return what a unit, and systemd about it, has said since a cursor of the journal."""
    return host.run(f"journalctl -u {unit} --after-cursor='{since}' -o cat").splitlines()


@pytest.mark.parametrize("unit", [*UNITS, *JOBS])
def test_every_unit_is_bounded(host: Host, unit: str) -> None:
    assert "infinity" not in host.show(unit, *_LIMITS).values()


def test_without_files_the_producer_says_so_and_ends_until_there_are_some(host: Host) -> None:
    await_progress(host, within=60)
    since = host.journal_cursor()
    with limited(host, "market-pulse-producer", "LimitNOFILE=14"):
        eventually(
            lambda: sum("Scheduled restart job" in line for line in journal(host, "market-pulse-producer", since)) >= 2,
            within=60,
            what="it has ended and begun again, twice",
        )
        said = journal(host, "market-pulse-producer", since)
    assert any("stopped: Too many open files" in line for line in said)
    assert len(said) < 200, "it said so again and again"
    host.await_running(*UNITS, within=60)
    await_progress(host, within=90)
    assert_nothing_lost_or_doubled(host)


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "megabytes"), TOO_LITTLE.items())
def test_a_unit_that_needs_too_much_memory_is_killed_and_comes_back(host: Host, unit: str, megabytes: int) -> None:
    await_progress(host, within=60)
    since = host.journal_cursor()
    with short_of_memory(host, unit, megabytes):
        eventually(
            lambda: any("Scheduled restart job" in line for line in journal(host, unit, since)),
            within=180,
            what=f"{unit} was ended, and is started again",
        )
        said = "\n".join(journal(host, unit, since))
    # The first is what systemd counts, on cgroup v2 alone; the others are the signal in its and the supervisor's words.
    assert any(words in said for words in ("oom-kill", "status=9/KILL", "code=-9")), said
    host.await_running(*UNITS, within=240)
    await_progress(host, within=120)
    assert_nothing_lost_or_doubled(host)
