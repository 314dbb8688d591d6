"""Whatever hangs is found by its watchdog in time, and what only pauses is left alone."""

import json

import pytest

from support.waiting import PATIENCE, eventually
from system.faults.injections import (
    AUDITOR,
    BROKER,
    CONSUMER,
    MASTER,
    PRODUCER,
    VENDOR,
    WORKER,
    hang,
    last,
    paused,
)
from system.faults.trial import ANY, AT_LEAST_ONCE, Trial
from system.host import Host

_GRACE_SECONDS = 2.0


def test_every_hang_is_found_within_its_watchdog_and_two_seconds(host: Host, trial: Trial) -> None:
    units = [AUDITOR, BROKER, CONSUMER, MASTER, PRODUCER, VENDOR, WORKER]
    with trial("P2", "all units hung at once", within=180, restarts=dict.fromkeys(units, AT_LEAST_ONCE)):
        hung_at = {unit: hang(host, unit) for unit in units}
        for unit in units:
            allowed = host.watchdog_seconds(unit) + _GRACE_SECONDS * PATIENCE
            found_at = eventually(
                lambda u=unit: _watchdog_timeout(host, u, hung_at[u]),  # type: ignore[misc]
                within=host.watchdog_seconds(unit) + 30,
                what=f"the watchdog finds {unit}",
            )
            assert found_at - hung_at[unit] <= allowed, f"{unit} hung for {found_at - hung_at[unit]:.1f} s unnoticed"


@pytest.mark.slow
def test_a_sink_that_hangs_below_a_healthy_driver_is_found(host: Host, trial: Trial) -> None:
    with trial("P11", "the sink's Python processes hung", within=120, restarts={CONSUMER: AT_LEAST_ONCE, WORKER: ANY}):
        host.run("kill -STOP $(pgrep --full [p]yspark.daemon)")
        host.await_sentence(CONSUMER, "stuck: ", within=200)
        eventually(
            lambda: host.show(CONSUMER, "NRestarts") != {"NRestarts": "0"}, within=120, what="the driver is restarted"
        )


def test_a_pause_of_the_whole_host_shorter_than_its_watchdogs_restarts_nothing(trial: Trial) -> None:
    with trial("H4", "host paused for 20 s", within=60), paused():
        last(20)


@pytest.mark.slow
def test_a_pause_of_the_whole_host_longer_than_its_watchdogs_is_over_by_itself(trial: Trial) -> None:
    units = [AUDITOR, BROKER, CONSUMER, MASTER, PRODUCER, VENDOR, WORKER]
    with trial("H4x120", "host paused for 2 min", within=180, restarts=dict.fromkeys(units, ANY)), paused():
        last(120)


def _watchdog_timeout(host: Host, unit: str, since: float) -> float | None:
    """Return when systemd said so of a unit, in seconds since 1970, if it has by now."""
    command = f"journalctl --unit={unit} --since=@{since:.3f} --output=json _PID=1"
    for line in host.run(command).splitlines():
        entry = json.loads(line)
        if "Watchdog timeout" in str(entry["MESSAGE"]):
            return int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    return None
