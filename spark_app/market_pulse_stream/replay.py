"""Reads the topic a second time, into a scratch schema, by the very code that filled `market`.

Source: the topic from an instant of its records' own times up to what is stored, without a consumer group. Sink: a
schema of `market_pulse_stream.scratch`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import count
from time import monotonic
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.sql import SQL, Identifier

from market_pulse.errors import PositionError, TopicError
from market_pulse.kafka_login import Login, explained
from market_pulse.topic import Topic
from market_pulse_stream.decode import Record, record_time
from market_pulse_stream.positions import ISOLATION_LEVEL
from market_pulse_stream.sink import Account, Task, store

# Of one poll, and so at most of one transaction.
_MOST_RECORDS = 20_000
_POLL_MILLISECONDS = 500
_SILENCE_SECONDS = 30

_POSITIONS = "SELECT partition, next_offset, log_epoch, held FROM market.stream_position WHERE topic_id = %s"
_ADD_POSITION = """
INSERT INTO {schema}.stream_position (topic_id, partition, topic, next_offset, log_epoch)
VALUES (%(topic_id)s, %(partition)s, %(topic)s, %(first)s, %(log_epoch)s)
"""


@dataclass(frozen=True)
class Span:
    """The offsets of one partition that are read: from `first` up to, but not with, `until`."""

    partition: int
    first: int
    until: int
    log_epoch: int


def reader(login: Login) -> KafkaConsumer:
    """Return a consumer of no group, which commits nothing.

    Raises:
        RefusedError: the broker does not let it in.
        kafka.errors.KafkaError: no broker answers.
    """
    with explained(login):
        return KafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=ISOLATION_LEVEL,
            max_poll_records=_MOST_RECORDS,
            **login.options,
        )


def spans(
    connection: Connection, consumer: KafkaConsumer, topic: Topic, since: datetime, until: datetime | None
) -> list[Span]:
    """Return what to read of each partition: records of `since` or later, before `until`, and stored.

    Raises:
        PositionError: nothing of this topic is stored, or its log lost records that are stored.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(_POSITIONS, (str(topic.id),))
        stored = {partition: (offset, log_epoch, held) for partition, offset, log_epoch, held in cursor}
    held = [text for _, _, text in stored.values() if text]
    if held or not stored:
        raise PositionError("; ".join(held) or f"no position of topic {topic.name} with the id {topic.id} is stored")
    starts = _offsets_at(consumer, topic, since)
    ends = _offsets_at(consumer, topic, until) if until else topic.end
    return [
        Span(partition, min(starts[partition], stop), stop, log_epoch)
        for partition, (next_offset, log_epoch, _) in sorted(stored.items())
        for stop in [min(next_offset, ends[partition])]
    ]


def refill(
    connection: Connection, consumer: KafkaConsumer, topic: Topic, read: Sequence[Span], schema: str
) -> Iterator[Account]:
    """Store the spans' records into a scratch schema, and yield the account of each transaction.

    Raises:
        TopicError: records that should be there do not come.
        psycopg2.Error: PostgreSQL refused.
    """
    add_positions(connection, topic, read, schema)
    waiting = {TopicPartition(topic.name, span.partition): span for span in read if span.until > span.first}
    consumer.assign(list(waiting))
    consumer.resume(*waiting)
    for place, span in waiting.items():
        consumer.seek(place, span.first)
    reached = {place: span.first for place, span in waiting.items()}
    run_id, numbers, heard = uuid4(), count(), monotonic()
    while waiting:
        polled = consumer.poll(timeout_ms=_POLL_MILLISECONDS)
        for place, span in list(waiting.items()):
            # It moves over offsets without a record, too.
            offsets = range(reached[place], min(consumer.position(place), span.until))
            if not offsets:
                continue
            heard = monotonic()
            records = [
                Record(record.offset, record.key, record.value, record_time(record.timestamp))
                for record in polled.get(place, [])
                if record.offset < span.until
            ]
            task = Task(run_id, next(numbers), topic.id, topic.name, place.partition)
            yield store(connection, task, records, schema, offsets)
            reached[place] = offsets.stop
            if offsets.stop == span.until:
                del waiting[place]
                consumer.pause(place)
        if monotonic() - heard > _SILENCE_SECONDS:
            missing = ", ".join(f"partition {place.partition} up to {span.until}" for place, span in waiting.items())
            raise TopicError(f"topic {topic.name} gave no record for {_SILENCE_SECONDS} s; still to come: {missing}")


def add_positions(connection: Connection, topic: Topic, read: Iterable[Span], schema: str) -> None:
    """Say in a scratch schema that it is filled from the beginning of these spans; committed."""
    statement = SQL(_ADD_POSITION).format(schema=Identifier(schema))
    with connection, connection.cursor() as cursor:
        for span in read:
            cursor.execute(statement, {"topic_id": str(topic.id), "topic": topic.name, **asdict(span)})


def _offsets_at(consumer: KafkaConsumer, topic: Topic, instant: datetime) -> dict[int, int]:
    """Return the first offset of each partition whose record is of this instant or later, or the log's end."""
    places = {TopicPartition(topic.name, partition): int(instant.timestamp() * 1000) for partition in topic.end}
    found = consumer.offsets_for_times(places)
    return {
        place.partition: topic.end[place.partition] if found[place] is None else found[place].offset for place in places
    }
