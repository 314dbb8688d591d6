"""A disk without room stops what writes there, which says so, and goes on by itself once there is room."""

from collections.abc import Callable

import pytest

from support.waiting import eventually
from system.faults.disks import fail_a_sync, full_journal, small_disk
from system.faults.injections import BROKER, CONSUMER, PRODUCER, last
from system.faults.trial import ANY, AT_LEAST_ONCE, Trial
from system.host import Host

_STATE = "/var/lib/market-pulse"
_SERVER_LOG = "/var/log/postgresql/*.log"


@pytest.mark.slow
def test_a_producer_without_room_asks_for_nothing_that_it_cannot_keep(host: Host, trial: Trial) -> None:
    disk = small_disk(host, PRODUCER, f"{_STATE}/producer", 64)
    with disk as room, trial("D5", "producer's disk full", within=30, restarts={PRODUCER: ANY}), room.full():
        _await_journal(host, PRODUCER, "disk", within=60)


@pytest.mark.slow
def test_a_broker_without_room_comes_back_when_there_is_some(host: Host, trial: Trial) -> None:
    disk = small_disk(host, BROKER, f"{_STATE}/kafka", 400)
    with (
        disk as room,
        trial("D1", "broker's disk full", within=60, restarts={BROKER: AT_LEAST_ONCE, CONSUMER: ANY}),
        room.full(),
    ):
        eventually(_is_restarted(host, BROKER), within=180, what="the broker ends")


@pytest.mark.slow
def test_a_database_without_room_comes_back_when_there_is_some(host: Host, trial: Trial) -> None:
    postgresql = host.postgresql_unit()
    disk = small_disk(host, postgresql, host.run("ls -d /var/lib/postgresql/*/main"), 400)
    with (
        disk as room,
        trial("D2", "PostgreSQL's disk full", within=90, restarts={postgresql: ANY, CONSUMER: ANY}),
        room.full(),
    ):
        _await_journal(host, CONSUMER, "No space left on device", within=120)
        last(30)


@pytest.mark.slow
def test_a_driver_without_room_comes_back_when_there_is_some(host: Host, trial: Trial) -> None:
    disk = small_disk(host, CONSUMER, f"{_STATE}/consumer", 16)
    with (
        disk as room,
        trial("D3", "checkpoint's disk full", within=90, restarts={CONSUMER: AT_LEAST_ONCE}),
        room.full(),
    ):
        eventually(_is_restarted(host, CONSUMER), within=120, what="the driver ends")


@pytest.mark.slow
def test_a_journal_without_room_stops_nobody(host: Host, trial: Trial) -> None:
    with trial("D4", "journal's disk full for 30 s", within=15), full_journal(host):
        last(30)


@pytest.mark.slow
def test_a_producer_that_cannot_write_ends_and_comes_back_when_it_can(host: Host, trial: Trial) -> None:
    disk = small_disk(host, PRODUCER, f"{_STATE}/producer", 64)
    with (
        disk as room,
        trial("D6", "producer's disk read-only", within=30, restarts={PRODUCER: AT_LEAST_ONCE}),
        room.read_only(PRODUCER),
    ):
        _await_journal(host, PRODUCER, "read-only\\|readonly", within=60)
        eventually(_is_restarted(host, PRODUCER), within=60, what="the producer ends")


@pytest.mark.slow
def test_a_database_whose_write_failed_recovers_from_its_log(host: Host, trial: Trial) -> None:
    with trial("D7", "a write of PostgreSQL's failed", within=60, restarts={CONSUMER: ANY}):
        pid = host.number("select pid from pg_stat_activity where backend_type = 'checkpointer'")
        lines = int(host.run(f"cat {_SERVER_LOG} | wc --lines"))
        fail_a_sync(host, pid, "runuser -u postgres -- psql -XAtqc checkpoint")
        panics = f"cat {_SERVER_LOG} | tail --lines=+{lines} | grep --count PANIC || true"
        eventually(lambda: host.run(panics) != "0", within=60, what="PostgreSQL's log says PANIC")


@pytest.mark.slow
def test_a_producer_whose_write_failed_does_not_count_it_as_kept(host: Host, trial: Trial) -> None:
    with trial("D7b", "a write of the producer's failed", within=30, restarts={PRODUCER: range(2)}):
        fail_a_sync(host, host.main_pid(PRODUCER), "sleep 20")
        _await_journal(host, PRODUCER, "disk I/O error", within=60)


def _is_restarted(host: Host, unit: str) -> Callable[[], bool]:
    return lambda: host.show(unit, "NRestarts") != {"NRestarts": "0"}


def _await_journal(host: Host, unit: str, words: str, *, within: float) -> None:
    entries = f"journalctl --unit={unit} --since=-{within:.0f}s --output=cat | grep --count '{words}' || true"
    eventually(lambda: host.run(entries) != "0", within=within, what=f"the journal of {unit} says {words!r}")
