"""Reads the topic from where the database ends, and hands what comes to the event loop.

Source: the topic, without a group, and nothing is committed. Sink: the hub, in the topic's order. It goes on where
Kafka or the database is away for a while; where it cannot go on without a hole, the daemon ends, and begins anew where
the database is by then.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.partitioner import murmur2

from market_pulse import log
from market_pulse.contract import Bar, decode
from market_pulse.errors import PositionError, TopicError
from market_pulse.kafka_login import explained
from market_pulse.topic import Topic, look_up
from market_pulse.web import database
from market_pulse.web.bars import Series, shown
from market_pulse.web.hub import Hub
from market_pulse.web.ring import Entry, Ring
from market_pulse.web.sessions import AwayError, Database
from market_pulse.web.settings import WebSettings

# What the ring holds, some 700 bytes each; a session of 400 bars of 100 symbols.
MOST_ENTRIES = 60_000
_MOST_RECORDS = 1000
_POLL_MILLISECONDS = 200
_PAUSE_SECONDS = 2.0
# How far the topic goes is asked this often, and this rarely whether it is still the same one.
_ENDS_SECONDS = 5.0
_SAME_SECONDS = 60.0
_REQUEST_MILLISECONDS = 10_000
_BACKOFF_MILLISECONDS = 2000
_HAND_OVER_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Feed(threading.Thread):
    """A thread, for the client waits; what it knows it says in its attributes, which only it changes.

    `beats` grows while it works, be there news or not. `trouble` is why nothing comes, in words, and None while all is
    well. `ends` are the topic's ends by partition. `failure` is what ended it.
    """

    def __init__(self, settings: WebSettings, questions: Database, zone: ZoneInfo, hub: Hub) -> None:
        """Be ready to start, inside the event loop that the hub is on."""
        super().__init__(name="feed", daemon=True)
        self.beats = 0
        self.trouble: str | None = "has not asked Kafka yet"
        self.topic: Topic | None = None
        self.ends: Mapping[int, int] = {}
        self.failure: BaseException | None = None
        self._settings = settings
        self._questions = questions
        self._zone = zone
        self._hub = hub
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let it end soon."""
        self._stopping.set()

    def run(self) -> None:
        """Read until it is stopped, or cannot go on."""
        try:
            consumer = self._connected()
            if consumer is not None:
                try:
                    self._read(consumer)
                finally:
                    consumer.close()
        except BaseException as error:  # noqa: BLE001 - the daemon raises it in its own thread
            self.failure = error

    def _connected(self) -> KafkaConsumer | None:
        """Return a consumer that stands where the database ends, as soon as there is one."""
        while not self._stopping.is_set():
            try:
                return self._begin()
            except (KafkaError, TopicError, AwayError) as error:
                self._tell(" ".join(str(error).split()) or type(error).__name__)
            self.beats += 1
            self._stopping.wait(_PAUSE_SECONDS)
        return None

    def _begin(self) -> KafkaConsumer:
        login, name = self._settings.kafka, self._settings.topic
        topic = look_up(login, name)
        known = self._questions.ask_here(database.positions, topic.id)
        stored = {partition: known.get(partition, 0) for partition in topic.beginning}
        ring = Ring(str(topic.id), stored, MOST_ENTRIES)
        with explained(login):
            consumer = KafkaConsumer(
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_poll_records=_MOST_RECORDS,
                request_timeout_ms=_REQUEST_MILLISECONDS,
                # A broker that is back should be seen on the page at once, not half a minute later.
                reconnect_backoff_max_ms=_BACKOFF_MILLISECONDS,
                **login.options,
            )
            consumer.assign([TopicPartition(name, partition) for partition in topic.beginning])
            for partition, beginning in topic.beginning.items():
                # Stored beyond the end is a log that lost its tail: the consumer says so, and here its end will do.
                start = min(max(stored[partition], beginning), topic.end[partition])
                consumer.seek(TopicPartition(name, partition), start)
        self.topic, self.ends = topic, topic.end
        self._hand_over(lambda: self._hub.begin(ring))
        log.event(_log, logging.INFO, "reading", topic=name, id=topic.id, partitions=len(stored))
        self._tell(None)
        return consumer

    def _read(self, consumer: KafkaConsumer) -> None:
        asked_at = same_at = time.monotonic()
        while not self._stopping.is_set():
            try:
                for place, records in consumer.poll(timeout_ms=_POLL_MILLISECONDS).items():
                    self._publish(place, records)
                if time.monotonic() - asked_at > _ENDS_SECONDS:
                    asked_at = time.monotonic()
                    ends = consumer.end_offsets(list(consumer.assignment()), timeout_ms=_REQUEST_MILLISECONDS)
                    self.ends = {place.partition: end for place, end in ends.items()}
                if time.monotonic() - same_at > _SAME_SECONDS:
                    same_at = time.monotonic()
                    self._refuse_another_topic()
                self._tell(None)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
                raise PositionError(f"records were deleted before they were read: {error}") from error
            except KafkaError as error:
                self._tell(f"no answer from Kafka: {' '.join(str(error).split()) or type(error).__name__}")
                self._stopping.wait(_PAUSE_SECONDS)
            self.beats += 1

    def _publish(self, place: TopicPartition, records: list[ConsumerRecord]) -> None:
        bars = ((record, decode(record.key, record.value, _appended_at(record))) for record in records)
        entries = [
            Entry(Series(bar.symbol, bar.interval), place.partition, record.offset, shown(bar, self._zone))
            for record, bar in bars
            # What is refused is the consumer's to keep, and to name.
            if isinstance(bar, Bar)
        ]
        passed = [(place.partition, records[-1].offset + 1)]
        self._hand_over(lambda: self._hub.publish(entries, passed))

    def _refuse_another_topic(self) -> None:
        found = look_up(self._settings.kafka, self._settings.topic)
        if self.topic is not None and found.id != self.topic.id:
            raise PositionError(f"topic {found.name} was deleted and made again: it is {found.id} now")

    def _hand_over(self, act: Callable[[], None]) -> None:
        """Do something on the event loop, and wait until it is done: what reads faster than it is shown waits here."""

        async def do() -> None:
            act()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(_HAND_OVER_SECONDS)

    def _tell(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            if trouble is None:
                log.event(_log, logging.INFO, "Kafka answers")
            else:
                log.event(_log, logging.WARNING, "nothing live", reason=trouble)


def _appended_at(record: ConsumerRecord) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def home(symbol: str, partitions: int) -> int:
    """Return the partition that a symbol's bars are in: the one that Kafka's own clients give to its key."""
    return (int(murmur2(symbol.encode())) & 0x7FFFFFFF) % partitions
