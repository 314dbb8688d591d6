"""What a run needs before its first batch: the topic, its stored positions, and to be the only consumer."""

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from tenacity import RetryError, Retrying, TryAgain, retry_if_exception_type, stop_after_delay, wait_fixed

from market_pulse.errors import PositionError, StateError
from market_pulse_stream.positions import Plan, losses, plan
from market_pulse_stream.postgresql import Database
from market_pulse_stream.truncation import LogWatch, Reached

# The session of a driver that was killed a moment ago ends when PostgreSQL notices.
LOCK_SECONDS = 5

_READ_POSITIONS = """
SELECT topic_id::text, partition, next_offset, leader_epoch, held FROM market.stream_position WHERE topic = %s
"""
_HOLD = "UPDATE market.stream_position SET held = %s WHERE topic_id = %s AND partition = %s AND held IS NULL"
_ADD_POSITION = """
WITH added AS (
    INSERT INTO market.stream_position (topic_id, partition, topic, next_offset)
    VALUES (%(topic_id)s, %(partition)s, %(topic)s, %(next_offset)s)
    ON CONFLICT DO NOTHING
    RETURNING topic_id, partition, log_epoch, topic, next_offset
)

INSERT INTO market.lost_range (topic_id, partition, log_epoch, topic, from_offset, until_offset, reason)
SELECT topic_id, partition, log_epoch, topic, 0, next_offset, %(gone)s FROM added WHERE %(gone)s IS NOT NULL
"""
_READ_OFFSETS = "SELECT partition, next_offset FROM market.stream_position WHERE topic_id = %s"
# The server ends a session that was cut off sooner than this side gives it up, or that would keep its successor out.
_END_SOON = """
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '25s'
"""
_LOCK = "SELECT pg_try_advisory_lock(hashtext('market-pulse consumer'), hashtext(%s))"


class OnlyConsumer:
    """Holds, for as long as its session lives, the lock that says: one consumer per topic and database."""

    def __init__(self, database: Database, topic: str) -> None:
        """Take the lock.

        Raises:
            StateError: another consumer holds it.
        """
        self._database = database
        self._topic = topic
        self._connection = self._locked_session()

    def check(self, topic_id: UUID, reached: Mapping[int, int]) -> None:
        """Take the lock again if its session was lost; while the server is away, that is left to the next call.

        The new session may be with another server, a promoted standby's or a restored one, so that it is looked whether
        everything is there that this run stored: without new records nobody else would.

        Args:
            topic_id: of the topic that is stored.
            reached: up to where this run has stored each partition.

        Raises:
            StateError: another consumer was faster.
            PositionError: the database has gone back; the next start reads again what it lacks.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT")
        except psycopg2.Error:
            self.release()
            with contextlib.suppress(psycopg2.OperationalError):
                connection = self._locked_session()
                try:
                    self._refuse_older(connection, topic_id, reached)
                except BaseException:
                    connection.close()
                    raise
                self._connection = connection

    def release(self) -> None:
        """Give the lock back."""
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()

    def _locked_session(self) -> Connection:
        connection = self._database.connect("market-pulse consumer lock")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_END_SOON)
        try:
            self._take_lock(connection)
        except RetryError:
            connection.close()
            raise StateError(
                f"another consumer stores topic {self._topic} in database {self._database.name} at "
                f"{self._database.host}: stop it first"
            ) from None
        return connection

    def _refuse_older(self, connection: Connection, topic_id: UUID, reached: Mapping[int, int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_READ_OFFSETS, (str(topic_id),))
            stored: dict[int, int] = dict(cursor)
        older = [
            f"topic {self._topic} partition {partition} was stored before offset {offset}, and in the database it is "
            f"before {stored.get(partition, 0)}"
            for partition, offset in sorted(reached.items())
            if stored.get(partition, 0) < offset
        ]
        if older:
            raise PositionError(f"the database has gone back; the next start goes on from there: {'; '.join(older)}")

    def _take_lock(self, connection: Connection) -> None:
        patience = stop_after_delay(LOCK_SECONDS)
        for attempt in Retrying(retry=retry_if_exception_type(TryAgain), stop=patience, wait=wait_fixed(0.5)):
            with attempt, connection.cursor() as cursor:
                cursor.execute(_LOCK, (self._topic,))
                if cursor.fetchone() != (True,):
                    raise TryAgain


def resume(database: Database, watch: LogWatch) -> Plan:
    """Plan the start from the stored positions, and store those of partitions that are new, with what is gone of them.

    A loss behind a stored position is stored with it before it is raised, and raised again until it is accepted.

    Raises:
        PositionError: see `market_pulse_stream.positions.plan`.
        RefusedError: the broker does not let it in, or not see the topic.
        kafka.errors.KafkaError: no broker answers.
    """
    topic = watch.topic
    with contextlib.closing(database.connect("market-pulse consumer start")) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(_READ_POSITIONS, (topic.name,))
            by_topic: dict[UUID, dict[int, int]] = defaultdict(dict)
            reached: dict[int, Reached] = {}
            held: dict[int, str] = {}
            for topic_id, partition, next_offset, leader_epoch, reason in cursor:
                by_topic[UUID(topic_id)][partition] = next_offset
                if UUID(topic_id) == topic.id:
                    reached[partition] = Reached(next_offset, leader_epoch)
                    if reason is not None:
                        held[partition] = reason
            truncated = watch.truncated(reached, topic.leader_epochs)
            found = losses(topic, by_topic.get(topic.id, {}), truncated)
            for partition, reason in found.items():
                cursor.execute(_HOLD, (reason, str(topic.id), partition))
        planned = plan(topic, by_topic, found | held)
        with connection, connection.cursor() as cursor:
            for partition, offset in planned.next_offset.items():
                place = {"topic_id": str(topic.id), "partition": partition, "topic": topic.name}
                cursor.execute(_ADD_POSITION, {**place, "next_offset": offset, "gone": planned.gone.get(partition)})
    return planned
