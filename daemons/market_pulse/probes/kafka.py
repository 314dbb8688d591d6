"""A Kafka broker: its metadata quorum has a leader, and a record goes through its own log and back.

The record goes to a topic of the broker's own, one partition with its only replica there, so that in a cluster the
answer is about this broker and no other.
"""

import contextlib
import logging
import socket
import time
import uuid
from contextlib import ExitStack
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from pydantic import Field

from market_pulse import health
from market_pulse.health import BrokerFacts, Verdict
from market_pulse.settings import Settings

_TIMEOUT_MS = 5000
_RETENTION = {"retention.ms": "60000", "segment.ms": "60000", "segment.bytes": "1048576", "cleanup.policy": "delete"}


class KafkaProbeSettings(Settings):
    """The broker's own listener and number."""

    kafka_listener: str = Field(pattern=r"^[^\s:,]+:\d+$")
    kafka_node_id: int = Field(ge=0)


class KafkaProbe:
    """Keeps its connections while the broker answers, and makes new ones after every failure."""

    def __init__(self, settings: KafkaProbeSettings) -> None:
        """Connect at the first look."""
        # What the client logs about a broker that is away, each verdict says in a word.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._node_id = settings.kafka_node_id
        self._partition = TopicPartition(f"market-pulse-probe-{settings.kafka_node_id}", 0)
        self._common: dict[str, Any] = {
            "bootstrap_servers": settings.kafka_listener,
            "bootstrap_timeout_ms": _TIMEOUT_MS,
            "request_timeout_ms": _TIMEOUT_MS,
        }
        self._connections: _Connections | None = None

    def __call__(self) -> Verdict:
        """Ask for the quorum and send a record through the broker."""
        try:
            if self._connections is None:
                self._connections = _Connections(self._common, self._partition, self._node_id)
            return health.broker(self._connections.ask(self._node_id, self._partition))
        except (KafkaError, OSError) as error:
            self.close()
            return Verdict(healthy=False, sentence=f"no round trip: {type(error).__name__}")

    def close(self) -> None:
        """Drop the connections, whatever their end says."""
        connections, self._connections = self._connections, None
        if connections is not None:
            with contextlib.suppress(KafkaError, OSError):
                connections.close()


class _Connections:
    def __init__(self, common: dict[str, Any], partition: TopicPartition, node_id: int) -> None:
        # A client that finds nobody leaves its thread and sockets behind (kafka-python 3.0.12).
        host, _, port = common["bootstrap_servers"].rpartition(":")
        socket.create_connection((host, int(port)), timeout=_TIMEOUT_MS / 1000).close()
        with ExitStack() as stack:
            self._admin = KafkaAdminClient(**common)
            stack.callback(self._admin.close)
            self._make_topic(partition.topic, node_id)
            self._producer = KafkaProducer(
                acks="all", retries=0, max_block_ms=_TIMEOUT_MS, delivery_timeout_ms=2 * _TIMEOUT_MS, **common
            )
            stack.callback(_close, self._producer)
            self._consumer = KafkaConsumer(enable_auto_commit=False, fetch_max_wait_ms=100, **common)
            stack.callback(self._consumer.close)
            self._consumer.assign([partition])
            self._stack = stack.pop_all()

    def ask(self, node_id: int, partition: TopicPartition) -> BrokerFacts:
        started = time.monotonic()
        sent = uuid.uuid4().bytes
        offset = self._producer.send(partition.topic, sent, partition=partition.partition).get(_TIMEOUT_MS / 1000)
        self._consumer.seek(partition, offset.offset)
        records = self._consumer.poll(timeout_ms=_TIMEOUT_MS, max_records=1).get(partition, [])
        if not records or records[0].value != sent:
            raise KafkaError("the record did not come back")
        took = time.monotonic() - started
        quorum = self._admin.describe_metadata_quorum()["topics"][0]["partitions"][0]
        return BrokerFacts(
            node_id=node_id,
            leader_id=quorum["leader_id"],
            voters=len(quorum["current_voters"]),
            round_trip_seconds=took,
        )

    def close(self) -> None:
        self._stack.close()

    def _make_topic(self, name: str, node_id: int) -> None:
        if name not in self._admin.list_topics():
            try:
                self._admin.create_topics(
                    {name: {"assignments": {0: [node_id]}, "configs": _RETENTION}}, wait_for_metadata=True
                )
            except TopicAlreadyExistsError:
                return


def _close(producer: KafkaProducer) -> None:
    try:
        producer.close(timeout=1)
    except KafkaError:
        # close() gives up when its flush does, and leaves its thread running: end that first.
        producer._sender.force_close()  # noqa: SLF001 - the client has no other way
        producer.close(timeout=1)


def probe() -> KafkaProbe:
    """Return the probe of this host's broker.

    Raises:
        SettingsError: its listener or node id is not given.
    """
    return KafkaProbe(KafkaProbeSettings.load())
