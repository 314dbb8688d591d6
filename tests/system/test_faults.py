"""Whatever is killed or hangs is back by itself, with nothing lost and nothing doubled."""

import pytest

from support.waiting import eventually
from system.deployment import UNITS
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, await_progress

# The producer, the broker and the Spark driver.
KILL_TARGETS = ["market-pulse-producer", "market-pulse-kafka", "market-pulse-consumer"]


@pytest.mark.parametrize("unit", KILL_TARGETS)
def test_kill_9_in_the_middle_of_a_stream(host: Host, unit: str) -> None:
    await_progress(host, within=60)
    before = host.show(unit, "InvocationID")
    host.run(f"systemctl kill --signal=KILL --kill-whom=all {unit}")
    eventually(lambda: host.show(unit, "InvocationID") != before, within=60, what=f"{unit} is started again")
    host.await_running(unit, within=120)
    await_progress(host, within=90)
    assert_nothing_lost_or_doubled(host)


@pytest.mark.parametrize("unit", KILL_TARGETS)
def test_a_hang_is_found_by_the_watchdog(host: Host, unit: str) -> None:
    await_progress(host, within=60)
    before = host.show(unit, "InvocationID")
    host.run(f"kill -STOP {_working_pid(host, unit)}")
    eventually(
        lambda: host.show(unit, "InvocationID") != before,
        within=2 * host.watchdog_seconds(unit),
        what=f"{unit} is started again by the watchdog",
    )
    assert "Watchdog timeout" in host.run(f"journalctl -u {unit} -n 500 -o cat")
    host.await_running(unit, within=120)
    await_progress(host, within=90)
    assert_nothing_lost_or_doubled(host)


def _working_pid(host: Host, unit: str) -> int:
    """The process that does the work: under the supervisor its child, so that only a probe can notice."""
    main = host.main_pid(unit)
    child = host.run(f"pgrep --parent {main} || true").split()
    return int(child[0]) if child else main


def test_a_reboot_brings_everything_back_and_bars_go_on(host: Host) -> None:
    await_progress(host, within=60)
    boot = _booted_at(host)
    host.run("systemctl reboot", check=False)
    eventually(lambda: _booted_at(host) not in {"", boot}, within=60, what="the host answers after the reboot")
    host.await_running(*UNITS, within=180)
    await_progress(host, within=120)
    assert_nothing_lost_or_doubled(host)


def _booted_at(host: Host) -> str:
    """When the host's service manager was started, or nothing while the host does not answer."""
    return host.run("systemctl show --property=UserspaceTimestampMonotonic --value", check=False)
