"""What must hold of the sink whatever comes: order, duplication, bytes, digits."""

import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg2.extensions
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.services.database import Database, Server, waiting_for_locks
from integration.services.records import APPENDED, OPENING, answer, bar, records, task
from market_pulse import contract
from market_pulse.contract import Bar, Rejection, encode
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task, store
from support.waiting import eventually

_COLUMNS = (
    "symbol, bar_time, open::text, high::text, low::text, close::text, volume::text, is_final, request_id, fetched_at"
)


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg2.extensions.connection]:
    with contextlib.closing(database.connect("writer")) as connection:
        yield connection


def columns(told: Bar) -> tuple[object, ...]:
    prices = (told.open, told.high, told.low, told.close)
    return (told.symbol, told.bar_time, *prices, told.volume, told.is_final, told.request_id, told.fetched_at)


def ten_thousand_revisions() -> dict[tuple[object, ...], Bar]:
    """Return revisions of 720 bars by what tells them apart."""
    chance = random.Random(10_000)  # noqa: S311 - repeatable, not secret
    revisions: dict[tuple[object, ...], Bar] = {}
    while len(revisions) < 10_000:
        told = bar(
            f"S{chance.randrange(12)}",
            chance.randrange(60),
            open=f"10.{chance.randrange(1000)}",
            close=chance.choice(["10", "10.50", "11.999"]),
            volume=str(chance.randrange(10)),
            is_final=chance.random() < 0.9,
            fetched_at=OPENING + timedelta(minutes=60 + chance.randrange(300)),
            request_id=f"r{chance.randrange(40)}",
        )
        revisions.setdefault((told.symbol, told.bar_time, told.fetched_at, told.request_id), told)
    return revisions


REVISIONS = ten_thousand_revisions()


def tell_in_any_order(database: Database, travelled: list[Bar], chance: random.Random) -> int:
    """Store bars over three partitions that take turns, a symbol in one of them as on the topic; count the received."""
    tasks = [replace(task(database), partition=partition) for partition in range(3)]
    for item in tasks:
        where = "UPDATE market.stream_position SET partition = %s WHERE topic_id = %s"
        database.query(where, item.partition, str(item.topic_id))
    waiting = [[told for told in travelled if int(told.symbol[1:]) % 3 == partition] for partition in range(3)]
    offsets, received = [0, 0, 0], 0
    with contextlib.closing(database.connect("writer")) as connection:
        while any(waiting):
            partition = chance.choice([number for number in range(3) if waiting[number]])
            size = chance.choice([1, 7, 100, 900])
            batch, waiting[partition] = waiting[partition][:size], waiting[partition][size:]
            batch_task: Task = replace(tasks[partition], batch_id=offsets[partition])
            received += store(connection, batch_task, records(*batch, first=offsets[partition])).received
            offsets[partition] += len(batch)
    return received


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.integers(0, 2**32 - 1), again=st.integers(0, 3_000))
def test_ten_thousand_revisions_in_any_order_end_in_the_table_that_reason_predicts(
    postgresql: Server, order: int, again: int
) -> None:
    chance = random.Random(order)  # noqa: S311 - repeatable, not secret
    travelled = [*REVISIONS.values(), *chance.choices(list(REVISIONS.values()), k=again)]
    chance.shuffle(travelled)
    standing: dict[tuple[str, object], Bar] = {}
    for told in sorted(REVISIONS.values(), key=lambda item: (item.fetched_at, item.request_id)):
        standing[told.symbol, told.bar_time] = told
    latest = {told.symbol: told for told in sorted(standing.values(), key=lambda item: item.bar_time)}
    with postgresql.migrated_database() as database:
        assert tell_in_any_order(database, travelled, chance) == len(travelled)
        for table, expected in (("bar", standing), ("bar_revision", REVISIONS), ("latest_bar", latest)):
            stored = database.query(f"SELECT {_COLUMNS} FROM market.{table}")
            assert len(stored) == len(expected)
            assert set(stored) == set(map(columns, expected.values()))


def mangled(value: bytes) -> st.SearchStrategy[bytes]:
    """Return a record of which some bytes were replaced."""
    cut = st.tuples(st.integers(0, len(value)), st.integers(0, 4), st.binary(max_size=4))
    return cut.map(lambda item: value[: item[0]] + item[2] + value[item[0] + item[1] :])


_VALUES = (
    st.none() | st.binary(max_size=1200) | mangled(encode(bar())) | mangled(encode(answer())) | st.just(encode(bar()))
)
_RECORDS = st.lists(st.tuples(st.none() | st.just(b"IBM") | st.binary(max_size=9), _VALUES), min_size=1, max_size=8)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=_RECORDS)
def test_any_bytes_end_as_bar_answer_or_in_quarantine_byte_for_byte(
    database: Database, writer: psycopg2.extensions.connection, told: list[tuple[bytes | None, bytes | None]]
) -> None:
    sent = [Record(offset, key, value, APPENDED) for offset, (key, value) in enumerate(told)]
    first = task(database)
    account = store(writer, first, sent)
    assert account.received + account.answers == len(sent)
    rejected = [item for item in sent if isinstance(contract.decode(item.key, item.value, APPENDED), Rejection)]
    query = "SELECT record_offset, key, value FROM market.quarantine WHERE topic_id = %s ORDER BY 1"
    kept = database.query(query, str(first.topic_id))
    assert [(offset, key and bytes(key), value and bytes(value)) for offset, key, value in kept] == [
        (item.offset, item.key, item.value) for item in rejected
    ]


def test_a_key_that_comes_twice_in_a_batch_stands_as_told_last(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    later = bar(close="11.99", fetched_at=OPENING + timedelta(hours=1), request_id="r2")
    account = store(writer, task(database), records(later, bar(), bar(minute=1), later))
    assert (account.received, account.stored, account.unchanged, account.superseded) == (4, 2, 1, 1)
    assert database.query("SELECT close::text FROM market.bar ORDER BY bar_time") == [("11.99",), ("11.25",)]


def test_versions_mix_and_fields_come_and_go(database: Database, writer: psycopg2.extensions.connection) -> None:
    good, text = encode(bar()), encode(bar(minute=1))
    sent = [
        good.replace(b'{"v":1', b'{"v":2,"currency":"USD"'),
        text.replace(b'"close"', b'"last"'),
        text.replace(b',"close":"11.25"', b""),
        text.replace(b'"11.25"', b"null"),
        text[:-1] + b',"halted":false,"venue":{"mic":"XNYS"}}',
        good,
    ]
    account = store(writer, task(database), [Record(offset, b"IBM", value) for offset, value in enumerate(sent)])
    assert (account.stored, account.quarantined) == (2, 4)
    reasons = database.query("SELECT reason FROM market.quarantine ORDER BY record_offset")
    assert reasons == [("unknown_version",), ("missing_field",), ("missing_field",), ("wrong_type",)]
    assert database.query("SELECT count(*) FROM market.bar WHERE num_nulls(open, high, low, close, volume) > 0") == [
        (0,)
    ]


def test_two_partitions_that_tell_one_bar_at_once_leave_the_newer(database: Database) -> None:
    newer = bar(close="11.99", fetched_at=OPENING + timedelta(hours=1))
    for told in ((newer, bar()), (bar("MSFT"), bar("MSFT", close="11.99", fetched_at=newer.fetched_at))):
        with contextlib.closing(database.connect()) as blocker:
            # Both have merged their revision and wait; neither sees what the other has not committed.
            blocker.cursor().execute("LOCK TABLE market.bar IN SHARE MODE")
            threads = [threading.Thread(target=store_alone, args=(database, task(database), item)) for item in told]
            for number, thread in enumerate(threads, 1):
                thread.start()
                eventually(
                    lambda number=number: waiting_for_locks(database) == number,
                    within=20,
                    what="both wait",
                    every=0.02,
                )
            blocker.rollback()
            for thread in threads:
                thread.join(20)
    assert database.query("SELECT DISTINCT close::text FROM market.bar") == [("11.99",)]
    assert database.query("SELECT DISTINCT close::text FROM market.latest_bar") == [("11.99",)]


def store_alone(database: Database, alone: Task, told: Bar) -> None:
    with contextlib.closing(database.connect("writer")) as connection:
        store(connection, alone, records(told))


@pytest.mark.parametrize("volume", ["0", str(2**31), str(2**53 + 1), str(2**63 - 1)])
@pytest.mark.parametrize("price", ["0.0001", "0.00000001", "700000.0000", "0.67068", "999999999999.99999999"])
def test_extremes_keep_every_digit(
    database: Database, writer: psycopg2.extensions.connection, price: str, volume: str
) -> None:
    store(writer, task(database), records(bar(open=price, high=price, low=price, close=price, volume=volume)))
    stored = "SELECT open::text, high::text, low::text, close::text, volume::text FROM market.bar"
    assert database.query(stored) == [(price, price, price, price, volume)]


def test_a_million_prices_come_back_digit_for_digit(database: Database, writer: psycopg2.extensions.connection) -> None:
    chance, first, offset = random.Random(1_000_000), task(database), 0  # noqa: S311 - repeatable, not secret
    for number in range(10):
        told, prices = [], []
        for minute in range(25_000):
            digits = chance.randrange(1, 9)
            four = sorted((f"{chance.randrange(1, 10**12):0{digits + 1}d}" for _ in range(4)), key=int)
            low, opened, close, high = (f"{text[:-digits]}.{text[-digits:]}" for text in four)
            told.append(bar(f"M{number}", minute, open=opened, high=high, low=low, close=close, volume=four[0]))
            prices.append((opened, high, low, close, four[0].lstrip("0")))
        assert store(writer, replace(first, batch_id=number), records(*told, first=offset)).stored == 25_000
        offset += 25_000
        stored = "SELECT open::text, high::text, low::text, close::text, volume::text FROM market.bar WHERE symbol = %s"
        assert database.query(f"{stored} ORDER BY bar_time", f"M{number}") == prices
