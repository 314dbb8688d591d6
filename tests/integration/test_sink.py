import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count, pairwise
from uuid import uuid4

import msgspec
import psycopg2
import psycopg2.errors
import psycopg2.extensions
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.services.database import Database
from integration.services.records import OPENING, bar, records, task
from market_pulse.contract import Bar
from market_pulse.errors import PositionError
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Account, store

# How often a table of bars, or of tellings, was read from its beginning to its end.
_SCANS = "SELECT sum(seq_scan)::int FROM pg_stat_user_tables WHERE relname ~ '^bar(_revision)?_'"
_BARS = (
    "SELECT bar_time, open::text, high::text, low::text, close::text, volume, is_final, source, request_id, fetched_at"
)


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg2.extensions.connection]:
    with contextlib.closing(database.connect("writer")) as connection:
        yield connection


def contents(database: Database, symbol: str) -> list[list[tuple[object, ...]]]:
    return [
        database.query(
            f"{_BARS} FROM market.{table} WHERE symbol = %s ORDER BY bar_time, fetched_at, request_id", symbol
        )
        for table in ("bar", "bar_revision", "latest_bar")
    ]


def test_bars_are_stored_to_the_last_digit(database: Database, writer: psycopg2.extensions.connection) -> None:
    account = store(writer, task(database), records(bar(), bar(minute=1, open="10.12345678")))
    assert (account.received, account.stored) == (2, 2)
    stored = database.query("SELECT symbol, bar_time, open::text, low::text, volume FROM market.bar ORDER BY bar_time")
    assert stored == [
        ("IBM", OPENING, "10.10", "9.5000", 1200),
        ("IBM", OPENING + timedelta(minutes=1), "10.12345678", "9.5000", 1200),
    ]
    assert database.query("SELECT bar_time FROM market.latest_bar") == [(OPENING + timedelta(minutes=1),)]


def test_a_record_that_is_no_bar_is_quarantined_and_its_neighbours_are_stored(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    nasty = b'\\N\t\r\n\x00\xff{"'
    good = records(bar(), bar(minute=1))
    mixed = [good[0], Record(1, None, nasty), Record(2, b"IBM", None), msgspec.structs.replace(good[1], offset=3)]
    mixed += records(bar(minute=3, high="1.00"), first=4)
    account = store(writer, task(database), mixed)
    assert account == replace(account, received=5, stored=2, quarantined=3, until_offset=5)
    rows = database.query("SELECT record_offset, reason, key, value FROM market.quarantine ORDER BY 1")
    assert [row[:2] for row in rows] == [(1, "not_json"), (2, "tombstone"), (4, "high_below_low")]
    assert rows[0][2] is None
    assert bytes(rows[0][3]) == nasty
    assert (bytes(rows[1][2]), rows[1][3]) == (b"IBM", None)


def test_the_same_records_again_change_nothing(database: Database, writer: psycopg2.extensions.connection) -> None:
    first = task(database)
    told = records(bar(), bar(minute=1))
    store(writer, first, told)
    before = contents(database, "IBM")
    again = store(writer, replace(first, batch_id=7), told)
    assert again == Account(0, 2, 2, skipped=2)
    overlapping = store(writer, replace(first, batch_id=8), [*told, *records(bar(minute=2), first=2)])
    assert (overlapping.skipped, overlapping.received) == (2, 1)
    assert contents(database, "IBM")[0][:2] == before[0]
    assert database.query("SELECT from_offset, until_offset, received FROM market.batch ORDER BY 1") == [
        (0, 2, 2),
        (2, 3, 1),
    ]


def test_the_same_bars_told_again_are_unchanged(database: Database, writer: psycopg2.extensions.connection) -> None:
    first = task(database)
    store(writer, first, records(bar(open="10.1"), bar(minute=1)))
    before = contents(database, "IBM")
    again = store(writer, replace(first, batch_id=1), records(bar(open="10.1"), bar(minute=1), first=2))
    assert (again.received, again.stored, again.unchanged) == (2, 0, 2)
    assert contents(database, "IBM") == before


def test_a_revision_wins_by_when_it_was_fetched_not_by_when_it_came(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    first = task(database)
    newer = bar(close="11.50", fetched_at=OPENING + timedelta(minutes=9))
    assert store(writer, first, records(newer)).stored == 1
    late = store(writer, replace(first, batch_id=1), records(bar(), first=1))
    assert (late.superseded, late.stored) == (1, 0)
    assert database.query("SELECT close::text FROM market.bar") == [("11.50",)]
    back = bar(fetched_at=OPENING + timedelta(minutes=10))
    assert store(writer, replace(first, batch_id=2), records(back, first=2)).stored == 1
    assert database.query("SELECT close::text FROM market.latest_bar") == [("11.25",)]
    history = database.query("SELECT close::text FROM market.bar_revision ORDER BY fetched_at")
    assert history == [("11.25",), ("11.50",), ("11.25",)]


def test_a_bar_that_somebody_deleted_comes_back_with_its_telling(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    first = task(database)
    store(writer, first, records(bar()))
    database.query("DELETE FROM market.bar")
    again = store(writer, replace(first, batch_id=1), records(bar(), first=1))
    assert (again.stored, again.unchanged, again.superseded) == (1, 0, 0)
    assert database.query("SELECT close::text FROM market.bar") == [("11.25",)]
    assert database.query("SELECT count(*)::int FROM market.bar_revision") == [(1,)]


def test_keys_are_looked_up_by_index_in_tables_that_were_empty_when_they_were_analysed(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    database.query("SELECT market.ensure_partitions(%s, %s)", OPENING, OPENING)
    database.query("ANALYZE market.bar, market.bar_revision")
    before = database.query(_SCANS)
    store(writer, task(database), records(*(bar(minute=minute) for minute in range(50))))
    with writer, writer.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    assert database.query(_SCANS) == before


def test_a_hole_before_what_was_read_is_refused(database: Database, writer: psycopg2.extensions.connection) -> None:
    first = task(database)
    for read, hole in ((None, "0 to 4"), (range(3, 9), "0 to 2")):
        with pytest.raises(PositionError, match=f"offsets {hole} were never read"):
            store(writer, first, records(bar(), first=5), offsets=read)
    assert database.query("SELECT count(*) FROM market.bar") == [(0,)]


def test_offsets_that_were_read_and_hold_no_record_are_accounted_for(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    first = task(database)
    told = [*records(bar(), first=2), *records(bar(minute=1), first=5)]
    account = store(writer, first, told, offsets=range(8))
    assert account == Account(0, 0, 8, received=2, stored=2, empty=6)
    assert store(writer, replace(first, batch_id=1), [], offsets=range(6, 9)) == Account(0, 8, 9, empty=1)
    assert store(writer, replace(first, batch_id=2), [], offsets=range(6, 9)) == Account(0, 9, 9)
    ledger = "SELECT from_offset, until_offset, received, empty FROM market.batch ORDER BY 1"
    assert database.query(ledger) == [(0, 8, 2, 6), (8, 9, 0, 1)]
    assert database.query("SELECT next_offset FROM market.stream_position") == [(9,)]


def test_after_an_accepted_loss_the_same_offsets_are_accounted_for_again(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    first = task(database)
    lost = [*records(bar(), bar(minute=1)), Record(2, b"IBM", b"junk")]
    store(writer, first, lost)
    database.query("SELECT market.accept_position(%s, 0, 0)", str(first.topic_id))
    new = [*records(bar(), bar(minute=5)), Record(2, b"IBM", b"other junk")]
    account = store(writer, replace(first, run_id=uuid4()), new)
    assert (account.received, account.stored, account.unchanged, account.quarantined) == (3, 1, 1, 1)
    ledger = "SELECT log_epoch, from_offset, until_offset, received FROM market.batch ORDER BY 1"
    assert database.query(ledger) == [(0, 0, 3, 3), (1, 0, 3, 3)]
    kept = database.query("SELECT log_epoch, record_offset, value FROM market.quarantine ORDER BY 1")
    assert [(epoch, offset, bytes(value)) for epoch, offset, value in kept] == [(0, 2, b"junk"), (1, 2, b"other junk")]


def test_an_unknown_position_is_not_accepted(database: Database) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="no position is stored for partition 3"):
        database.query("SELECT market.accept_position(%s, 3, 0)", str(task(database).topic_id))


def test_a_partition_without_position_is_refused(database: Database, writer: psycopg2.extensions.connection) -> None:
    with pytest.raises(PositionError, match="has no position"):
        store(writer, task(database, topic_id=uuid4()), records(bar()))


def test_a_refused_statement_leaves_nothing_behind(database: Database, writer: psycopg2.extensions.connection) -> None:
    database.query("REVOKE INSERT ON market.batch FROM market_pulse_writer")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        store(writer, task(database), [*records(bar()), Record(1, b"IBM", b"junk")])
    for table in ("bar", "bar_revision", "latest_bar", "quarantine", "batch"):
        assert database.query(f"SELECT count(*) FROM market.{table}") == [(0,)], table
    assert database.query("SELECT next_offset FROM market.stream_position") == [(0,)]


def test_two_writers_of_one_partition_store_each_record_once(database: Database) -> None:
    first = task(database)
    told = records(*(bar(minute=minute) for minute in range(50)))
    accounts: list[Account] = []

    def write(batch_id: int) -> None:
        with contextlib.closing(database.connect("writer")) as connection:
            accounts.append(store(connection, replace(first, run_id=uuid4(), batch_id=batch_id), told))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(account.received for account in accounts) == [0, 0, 0, 50]
    assert database.query("SELECT count(*) FROM market.bar") == [(50,)]


_symbols = (f"S{number}" for number in count())
_prices = st.sampled_from(["10", "10.0", "10.5"])
_sightings = st.builds(
    lambda minute, price, final, told_at, request: {
        "minute": minute,
        "close": price,
        "open": price,
        "is_final": final,
        "request_id": request,
        "fetched_at": OPENING + timedelta(minutes=10 + told_at),
    },
    minute=st.integers(0, 2),
    price=_prices,
    final=st.booleans(),
    told_at=st.integers(0, 3),
    request=st.sampled_from(["r1", "r2"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), told=st.lists(_sightings, min_size=1, max_size=8))
def test_any_order_duplication_and_batching_ends_in_the_same_tables(
    database: Database, writer: psycopg2.extensions.connection, data: st.DataObject, told: list[dict[str, object]]
) -> None:
    # Equal numbers written with more or fewer zeros are one value: which writing stays is not promised.
    unique = {
        (item["minute"], item["fetched_at"], item["request_id"], Decimal(str(item["open"]))): item for item in told
    }
    sightings = list(unique.values())
    reference, shuffled = next(_symbols), next(_symbols)
    play(database, writer, [[bar(reference, **item) for item in sightings]])
    doubled = data.draw(st.permutations([*sightings, *data.draw(st.lists(st.sampled_from(sightings), max_size=4))]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(doubled)), max_size=3)) | {0, len(doubled)})
    batches = [doubled[begin:end] for begin, end in pairwise(cuts)]
    play(database, writer, [[bar(shuffled, **item) for item in batch] for batch in batches])
    assert contents(database, shuffled) == contents(database, reference)


def play(database: Database, writer: psycopg2.extensions.connection, batches: list[list[Bar]]) -> None:
    first = task(database)
    offset = 0
    for number, batch in enumerate(batches):
        account = store(writer, replace(first, batch_id=number), records(*batch, first=offset))
        assert account.received == len(batch)
        offset += len(batch)
