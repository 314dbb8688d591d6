"""The database moves to its standby: clients follow, nothing is lost or doubled, and who looks is told."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2
import pytest

from integration.consumed import assert_nothing_lost_or_doubled, await_received, bars, publish
from integration.services.broker import Broker
from integration.services.command import credentials_in, settings_of
from integration.services.consumer import consumer
from integration.services.database import PASSWORD, Database, Server
from integration.services.records import as_arrow, mixed_batches, task
from integration.services.standby import SLOT, Pair, replicated, set_slots
from integration.sink_state import state, undisturbed
from market_pulse import keeper
from market_pulse.backup.server import is_standby
from market_pulse.backup.settings import ServerSettings
from market_pulse.cli import database as sessions
from market_pulse.cli import replication_facts
from market_pulse.cli.replication import Replication, Slot, findings
from market_pulse.errors import StandbyError
from market_pulse_stream import postgresql, writer
from market_pulse_stream.writer import PartitionWriter
from support.waiting import eventually

_BATCHES = 400
_STORED = "SELECT count(*)::int FROM market.batch"


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A primary, its standby, and the credentials of who connects."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials_in(tmp_path, "writer", "monitor")))
    with replicated() as made:
        yield made


@pytest.fixture
def look(pair: Pair, tmp_path: Path) -> Callable[[], Replication | None]:
    """Ask as `market-pulse status` does."""

    def ask() -> Replication | None:
        settings = settings_of(pair.clients)
        with contextlib.closing(sessions.connect(settings, credentials=tmp_path)) as connection:
            return replication_facts.look(settings, tmp_path, connection)

    return ask


def test_the_sink_follows_a_promotion_in_the_middle_of_its_batches(postgresql: Server, pair: Pair) -> None:
    clients, topic_id = pair.clients, task(pair.primary).topic_id
    accounts = clients.server.accounts
    target = postgresql_target(clients, accounts["writer"])
    errors: list[BaseException] = []
    sink = threading.Thread(target=_store, args=(target, topic_id, errors))
    sink.start()
    try:
        eventually(lambda: pair.primary.query(_STORED)[0][0] >= _BATCHES // 40, within=60, what="batches are stored")
        pair.stop_primary()
        stored = pair.standby.query(_STORED)[0][0]
        assert stored < _BATCHES, "some of them are still to come"
        pair.promote()
    finally:
        sink.join(120)
        for session in writer._sessions.values():  # noqa: SLF001 - what an executor's exit closes
            session.close()
        writer._sessions.clear()  # noqa: SLF001
    assert errors == []
    assert not sink.is_alive()
    assert state(pair.standby) == undisturbed(postgresql, _BATCHES)


def postgresql_target(clients: Database, user: str) -> postgresql.Database:
    """Return what the driver hands to its executors."""
    server = clients.server
    return postgresql.Database(server.host, server.port, clients.name, user, str(server.authority))


def _store(target: postgresql.Database, topic_id: UUID, errors: list[BaseException]) -> None:
    """Store all batches, one after the other, as Spark's tasks do."""
    run_id = uuid4()
    try:
        for number, records in enumerate(mixed_batches(_BATCHES)):
            read = {0: range(records[0].offset, records[-1].offset + 1)}
            list(PartitionWriter(target, run_id, number, topic_id, "bars", read)(iter([as_arrow(records)])))
    except BaseException as error:  # noqa: BLE001 - the test fails with it
        errors.append(error)


@pytest.mark.slow
def test_what_a_lost_primary_had_not_sent_comes_again_from_kafka(
    broker: Broker, topic: str, pair: Pair, tmp_path: Path
) -> None:
    """An asynchronous standby has older positions, and older rows with them."""
    sent = publish(broker, topic, bars(range(10)))
    with consumer(tmp_path, broker, pair.clients, topic) as first:
        await_received(pair.primary, sent, first)
        eventually(lambda: pair.standby.query(_STORED) == pair.primary.query(_STORED), within=30, what="it has all")
        pair.cut()
        sent += publish(broker, topic, bars(range(10, 20)))
        await_received(pair.primary, sent, first)
        pair.lose_primary()
        pair.promote()
        assert pair.standby.query("SELECT sum(received)::int FROM market.batch") == [(sent // 2,)]
        # It finds that the positions are older, though nothing new was told, and is started again by systemd.
        assert first.process.wait(120) == 1
        assert "the database has gone back" in first.log
    sent += publish(broker, topic, bars(range(20, 25)))
    with consumer(tmp_path, broker, pair.clients, topic) as second:
        await_received(pair.standby, sent, second)
    assert_nothing_lost_or_doubled(pair.standby, sent)


def test_status_tells_of_a_standby_that_follows_leaves_and_is_promoted(
    pair: Pair, look: Callable[[], Replication | None]
) -> None:
    hosts = pair.primary.server.host, pair.standby.server.host

    def well() -> bool:
        found = look()
        assert found is not None
        assert (found.primary, [standby.host for standby in found.standbys]) == (hosts[0], [hosts[1]])
        assert found.slots == (Slot(SLOT, is_active=True, is_lost=False),)
        assert list(findings(found)) == []
        return (found.standbys[0].behind_bytes, found.standbys[0].behind_seconds) == (0, 0)

    # Only what it has replayed since its start tells when that was committed.
    task(pair.primary)
    eventually(well, within=30, what="it is not behind")
    pair.cut()
    task(pair.primary)
    behind = look()
    assert behind is not None
    assert behind.standbys[0].behind_bytes > 0
    assert behind.standbys[0].behind_seconds > 0
    assert [finding.key for finding in findings(behind)] == ["standby streaming"]
    pair.promote()
    split = look()
    assert split is not None
    assert "two primaries" in [finding.key for finding in findings(split)]
    pair.lose_primary()
    alone = look()
    assert alone is not None
    assert alone.primary == hosts[1]
    assert [finding.key for finding in findings(alone)] == [f"standby {hosts[0]}", "standby streaming"]


def test_a_standby_that_is_away_costs_so_much_room_and_no_more(tmp_path: Path) -> None:
    with replicated(max_slot_wal_keep_size="16MB", min_wal_size="32MB", max_wal_size="48MB") as pair:
        pair.stop_standby()
        for _ in range(6):
            pair.primary.query("CREATE TABLE filler AS SELECT repeat('x', 100) FROM generate_series(1, 150000)")
            pair.primary.query("DROP TABLE filler")
            pair.primary.server.execute("SELECT pg_switch_wal()", "CHECKPOINT")
        settings = settings_of(pair.clients)
        credentials = credentials_in(tmp_path, "monitor")
        with contextlib.closing(sessions.connect(settings, credentials=credentials)) as connection:
            found = replication_facts.look(settings, credentials, connection)
        assert found is not None
        assert found.slots == (Slot(SLOT, is_active=False, is_lost=True),)
        assert f"standby slot {SLOT}" in [finding.key for finding in findings(found)]
        kept = pair.primary.query("SELECT sum(size)::bigint FROM pg_ls_waldir()")[0][0]
        assert kept < 128 * 1024**2
        server = pair.primary.server
        assert set_slots(server, SLOT) == [], "as long as nobody copies it anew, it is on record"
        assert set_slots(server, SLOT, renewed=[SLOT]) == [f"dropped {SLOT}", f"made {SLOT}"]
        assert set_slots(server, SLOT, renewed=[SLOT]) == []


def test_the_work_beside_the_database_waits_on_a_standby(pair: Pair) -> None:
    server = pair.standby.server
    settings = keeper.KeeperSettings(
        **pair.standby.settings("keeper"), exchange="XNYS", postgresql_keeper_password=PASSWORD
    )
    beside = ServerSettings(
        backup_stanza="none",
        database_name=pair.standby.name,
        database_port=server.port,
        database_socket=server.socket_directory,
    )
    with pytest.raises(StandbyError, match="the server of this host is a standby"):
        keeper.connect(settings, "test")
    assert is_standby(beside)
    with pytest.raises(psycopg2.OperationalError, match="hot standby"):
        postgresql_target(pair.standby, server.accounts["writer"]).connect("test")
    pair.stop_primary()
    pair.promote()
    keeper.connect(settings, "test").close()
    assert not is_standby(beside)
    postgresql_target(pair.standby, server.accounts["writer"]).connect("test").close()


def test_slots_are_those_of_the_standbys(pair: Pair) -> None:
    server = pair.primary.server
    assert set_slots(server, SLOT) == []
    assert set_slots(server, SLOT, "standby_db3") == ["made standby_db3"]
    assert set_slots(server, SLOT, "standby_db3") == []
    server.execute("SELECT pg_create_physical_replication_slot('of_somebody_else')")
    # One that is in use stays.
    assert set_slots(server) == ["dropped standby_db3"]
    assert set_slots(server) == []
    assert pair.primary.query("SELECT slot_name FROM pg_replication_slots ORDER BY 1") == [
        ("of_somebody_else",),
        (SLOT,),
    ]
