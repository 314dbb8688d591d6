"""The topic read again into a scratch schema by the sink's own code, and compared; no Spark is needed for it."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg2.extensions
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from typer.testing import CliRunner, Result

from integration.services.broker import Broker
from integration.services.database import PASSWORD, Database
from integration.services.records import OPENING, bar
from market_pulse.cli import app
from market_pulse.cli import database as sessions
from market_pulse.cli.settings import CliSettings
from market_pulse.contract import Bar, encode
from market_pulse.errors import PositionError, StateError
from market_pulse.kafka_login import Principal
from market_pulse.topic import Topic, look_up
from market_pulse.upkeep.export import Exporter
from market_pulse_stream import replay, scratch
from market_pulse_stream.decode import BAR_COLUMNS, Record, record_time
from market_pulse_stream.scratch import LeftOut, Read
from market_pulse_stream.sink import Task, store
from support.waiting import eventually

_EVER = datetime(2000, 1, 1, tzinfo=UTC)
# Of the records on the topic: any instant after the bars were told.
_SENT = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pipeline:
    """A topic, and the database that a consumer stores it into."""

    broker: Broker
    topic: str
    database: Database
    keeper: psycopg2.extensions.connection
    reader: KafkaConsumer

    def publish(self, *values: Bar | tuple[bytes, bytes], sent: datetime = _SENT) -> None:
        with contextlib.closing(KafkaProducer(**self.broker.options, acks="all")) as producer:
            for value in values:
                key, text = value if isinstance(value, tuple) else (value.symbol.encode(), encode(value))
                producer.send(self.topic, key=key, value=text, timestamp_ms=int(sent.timestamp() * 1000))
            producer.flush()

    def publish_in_transaction(self, *bars: Bar, commit: bool) -> None:
        with contextlib.closing(KafkaProducer(**self.broker.options, transactional_id=uuid4().hex)) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            for told in bars:
                sent = int(_SENT.timestamp() * 1000)
                future = producer.send(self.topic, key=told.symbol.encode(), value=encode(told), timestamp_ms=sent)
                # What is not sent yet when it is aborted never comes to the topic.
                future.get(timeout=30)
            (producer.commit_transaction if commit else producer.abort_transaction)()

    @property
    def known(self) -> Topic:
        return look_up(self.broker.login(Principal.CONSUMER), self.topic)

    def store(self, batch: int = 7) -> None:
        """Store the topic into `market` in batches, as the consumer does."""
        topic = self.known
        insert = "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset) VALUES (%s, %s, %s, 0)"
        for partition in topic.end:
            self.database.query(insert, str(topic.id), partition, self.topic)
        polled: dict[int, list[Record]] = defaultdict(list)
        places = [TopicPartition(self.topic, partition) for partition in topic.end]
        self.reader.assign(places)
        self.reader.seek_to_beginning(*places)

        def all_is_read() -> bool:
            for place, records in self.reader.poll(timeout_ms=1000).items():
                polled[place.partition] += [
                    Record(item.offset, item.key, item.value, record_time(item.timestamp)) for item in records
                ]
            return all(self.reader.position(place) == topic.end[place.partition] for place in places)

        eventually(all_is_read, within=60, what="all records of the topic are read")
        with contextlib.closing(self.database.connect("writer")) as connection:
            for partition, end in topic.end.items():
                records, reached = polled[partition], 0
                for number, first in enumerate(range(0, len(records) or 1, batch)):
                    part = records[first : first + batch]
                    until = end if part == records[first:] else part[-1].offset + 1
                    task = Task(uuid4(), number, topic.id, self.topic, partition)
                    store(connection, task, part, offsets=range(reached, until))
                    reached = until

    def replay(self, since: datetime = _EVER, until: datetime | None = None) -> str:
        """Return the name of the schema that the topic was read into again."""
        schema = f"replay_{uuid4().hex[:8]}"
        scratch.create(self.keeper, schema)
        read = replay.spans(self.keeper, self.reader, self.known, since, until)
        accounts = list(replay.refill(self.keeper, self.reader, self.known, read, schema))
        records = sum(account.received + account.answers + account.empty for account in accounts)
        assert records == sum(span.until - span.first for span in read)
        return schema


@pytest.fixture
def keeper(database: Database) -> Iterator[psycopg2.extensions.connection]:
    with contextlib.closing(database.connect("keeper")) as connection:
        yield connection


@pytest.fixture
def pipeline(
    broker: Broker, topic: str, database: Database, keeper: psycopg2.extensions.connection
) -> Iterator[Pipeline]:
    with contextlib.closing(replay.reader(broker.login(Principal.MONITOR))) as reader:
        yield Pipeline(broker, topic, database, keeper, reader)


def test_the_whole_log_again_is_the_same_table_byte_for_byte(pipeline: Pipeline) -> None:
    told = [bar(symbol, minute) for minute in range(30) for symbol in ("IBM", "AAPL", "MSFT", "ON")]
    late = OPENING + timedelta(hours=2)
    told += [bar("IBM", 3, close="11.5000", fetched_at=late, request_id="r2"), bar("IBM", 3), bar("AAPL", 4, open="11")]
    pipeline.publish(*told, (b"IBM", b"junk"))
    pipeline.store()
    keeper, schema = pipeline.keeper, pipeline.replay()
    assert scratch.row_hash(keeper, schema) == scratch.row_hash(keeper)
    assert scratch.compare(keeper, schema, Read.LOG) == ([], {})
    query = pipeline.database.query
    assert query(f"SELECT reason FROM {schema}.quarantine") == [("not_json",)]
    for table, columns in (("latest_bar", "*"), ("stream_position", "topic_id, partition, next_offset")):
        assert query(f"SELECT {columns} FROM {schema}.{table} EXCEPT SELECT {columns} FROM market.{table}") == []
    scratch.drop(keeper, schema)
    assert query("SELECT count(*) FROM pg_namespace WHERE nspname = %s", schema) == [(0,)]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE market.bar SET close = close + 0.01 WHERE symbol = 'IBM' AND bar_time = %s",
        "UPDATE market.bar SET close = 11.250 WHERE symbol = 'IBM' AND bar_time = %s",
        "UPDATE market.bar SET fetched_at = fetched_at + interval '1 hour' WHERE symbol = 'IBM' AND bar_time = %s",
        "DELETE FROM market.bar WHERE symbol = 'IBM' AND bar_time = %s",
        f"INSERT INTO market.bar SELECT 'ZZZ', {', '.join(BAR_COLUMNS[1:])} FROM market.bar WHERE bar_time = %s",
    ],
)
def test_a_bar_that_was_changed_by_hand_is_named(pipeline: Pipeline, tampering: str) -> None:
    pipeline.publish(*(bar("IBM", minute) for minute in range(5)))
    pipeline.store()
    pipeline.database.query(tampering, OPENING + timedelta(minutes=2))
    keeper, schema = pipeline.keeper, pipeline.replay()
    (found,) = scratch.compare(keeper, schema, Read.LOG).differences
    assert found.symbol in {"IBM", "ZZZ"}
    assert found.bar_time == OPENING + timedelta(minutes=2)
    assert found.stored != found.again
    assert scratch.row_hash(keeper, schema) != scratch.row_hash(keeper)


def test_from_an_instant_on_every_bar_told_since_is_there_and_equal(pipeline: Pipeline) -> None:
    noon, evening = _SENT + timedelta(hours=1), _SENT + timedelta(hours=2)
    newest = OPENING + timedelta(hours=3)
    pipeline.publish(bar(minute=0), bar(minute=1, fetched_at=newest, close="11.9"), bar(minute=2))
    pipeline.publish(bar(minute=1), bar(minute=2, fetched_at=newest), bar(minute=3), sent=noon)
    pipeline.publish(bar(minute=3, fetched_at=newest, close="10"), bar(minute=4), sent=evening)
    pipeline.store(batch=2)
    query, keeper = pipeline.database.query, pipeline.keeper
    minutes = "SELECT extract(minute FROM bar_time - %s)::int FROM {}.bar ORDER BY 1"

    till_evening = pipeline.replay(noon, evening)
    assert query(minutes.format(till_evening), OPENING) == [(1,), (2,), (3,)]
    assert scratch.compare(keeper, till_evening, Read.LOG) == ([], {LeftOut.NOT_READ: 4})

    since_noon = pipeline.replay(noon)
    assert query(minutes.format(since_noon), OPENING) == [(1,), (2,), (3,), (4,)]
    assert scratch.compare(keeper, since_noon, Read.LOG) == ([], {LeftOut.NOT_READ: 2})

    query("DELETE FROM market.bar WHERE bar_time = %s", OPENING)
    assert scratch.compare(keeper, since_noon, Read.LOG) == ([], {LeftOut.NOT_READ: 1})
    query(f"DELETE FROM {since_noon}.bar WHERE bar_time = %s", OPENING + timedelta(minutes=2))
    (lost,) = scratch.compare(keeper, since_noon, Read.LOG).differences
    assert (lost.bar_time, lost.again) == (OPENING + timedelta(minutes=2), None)


def test_what_a_producer_took_back_is_not_replayed_and_markers_are_no_records(pipeline: Pipeline) -> None:
    pipeline.publish(bar(minute=0))
    for number, commit in enumerate((True, False, True, False), 1):
        pipeline.publish_in_transaction(bar(minute=number), commit=commit)
    pipeline.store()
    minutes = "SELECT extract(minute FROM bar_time - %s)::int FROM {}.bar ORDER BY 1"
    assert pipeline.database.query(minutes.format("market"), OPENING) == [(0,), (1,), (3,)]
    schema = pipeline.replay()
    assert scratch.row_hash(pipeline.keeper, schema) == scratch.row_hash(pipeline.keeper)
    told = "SELECT sum(received)::int, sum(empty)::int FROM {}.batch"
    assert pipeline.database.query(told.format(schema)) == pipeline.database.query(told.format("market")) == [(3, 6)]


def test_bars_of_months_that_have_left_are_not_missed(
    pipeline: Pipeline, tmp_path: Path, command: Callable[..., Result]
) -> None:
    """The bars are of May 2026; one of them was told again after the month had left."""
    pipeline.publish(*(bar(minute=minute) for minute in range(5)))
    pipeline.database.query("SELECT market.ensure_partitions('2026-05-01Z', '2026-05-01Z')")
    pipeline.store()
    pipeline.database.query(
        "UPDATE market.latest_bar"
        " SET bar_time = bar_time + interval '1 year', fetched_at = fetched_at + interval '1 year'"
    )
    exporter = Exporter(pipeline.keeper, tmp_path, _SENT)
    for month in exporter.months():
        exporter.export(month)
    assert pipeline.database.query("SELECT count(*) FROM market.bar") == [(0,)]
    pipeline.database.query(
        "INSERT INTO market.bar SELECT symbol, interval, %s, 1, 1, 1, 1, 1, true, 'late', 'r9', fetched_at"
        " FROM market.latest_bar",
        OPENING,
    )
    done = command("--from", "2000-01-01T00:00Z")
    assert done.exit_code == 0, done.output
    assert "not compared: 5 bars of months that have left the database for files" in done.stdout


def test_what_cannot_be_replayed_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(PositionError, match="no position of topic"):
        pipeline.replay()
    pipeline.store()
    pipeline.database.query("UPDATE market.stream_position SET held = 'offsets 3 to 4 are gone' WHERE partition = 1")
    with pytest.raises(PositionError, match="offsets 3 to 4 are gone"):
        pipeline.replay()


@pytest.mark.parametrize("name", ["market", "bi", "replay_", "replay_X", "public", 'replay_x"; DROP SCHEMA market'])
def test_only_a_scratch_schema_is_made_and_dropped(keeper: psycopg2.extensions.connection, name: str) -> None:
    for act in (scratch.create, scratch.drop, partial(scratch.compare, read=Read.LOG)):
        with pytest.raises(StateError, match="is not the name of a scratch schema"):
            act(keeper, name)


def test_a_schema_that_exists_is_not_filled_again(keeper: psycopg2.extensions.connection) -> None:
    scratch.create(keeper, "replay_x")
    with pytest.raises(StateError, match="schema replay_x exists already"):
        scratch.create(keeper, "replay_x")


def test_the_hash_of_an_empty_table_is_that_of_no_bar(keeper: psycopg2.extensions.connection) -> None:
    assert scratch.row_hash(keeper) == f"0-{'0' * 32}"


@pytest.fixture
def command(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command as on the database's host."""
    (tmp_path / "mp_postgresql_keeper_password").write_text(PASSWORD)
    settings = CliSettings.model_construct(
        topic=pipeline.topic,
        **pipeline.broker.client(Principal.MONITOR),
        **pipeline.database.settings("monitor"),
    )
    monkeypatch.setattr(CliSettings, "load_host", lambda: settings)
    monkeypatch.setattr("market_pulse.cli.replay.connect", partial(sessions.connect, credentials=tmp_path))
    return lambda *arguments: CliRunner().invoke(app, ["replay", *arguments])


def test_the_command_says_equal_or_names_what_is_not(pipeline: Pipeline, command: Callable[..., Result]) -> None:
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'replay%%'"
    refused = command("--from", "2000-01-01T00:00Z")
    assert (refused.exit_code, "no position of topic" in refused.stderr) == (2, True)
    pipeline.publish(*(bar(minute=minute) for minute in range(5)))
    pipeline.store()
    equal = command("--from", "2000-01-01T00:00Z")
    assert (equal.exit_code, "equal, byte for byte: every bar\n" in equal.stdout) == (0, True)
    hashes = re.findall(r"\.bar (5-[0-9a-f]{32})\n", equal.stdout)
    assert (len(hashes), len(set(hashes))) == (2, 1)
    assert pipeline.database.query(schemas) == []
    part = command("--from", "2100-01-01T00:00Z")
    assert (part.exit_code, "reading 0 records" in part.stdout) == (0, True)
    assert "not compared: 5 bars told by what was not read" in part.stdout
    assert "every other bar\n" in part.stdout
    pipeline.database.query("UPDATE market.bar SET volume = 7 WHERE bar_time = %s", OPENING)
    different = command("--from", "2000-01-01T00:00Z", "--into", "replay_mine", "--keep")
    assert (different.exit_code, "different: IBM 1min 2026-05-15T13:30:00Z" in different.stdout) == (1, True)
    assert pipeline.database.query(schemas) == [("replay_mine",)]
    again = command("--from", "2000-01-01T00:00Z", "--into", "replay_mine")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    assert pipeline.database.query(schemas) == [("replay_mine",)]
