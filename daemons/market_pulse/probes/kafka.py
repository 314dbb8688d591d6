"""A Kafka broker: its metadata quorum has a leader, and a record goes through its own log and back, as a client's does.

The record goes to a topic of the broker's own, one partition with its only replica there, so that in a cluster the
answer is about this broker and no other. It is sent and read at the clients' listener by a user who may do that alone;
the probe makes that user itself, with the broker's key, and a password that nobody else ever knows.

A node that is a controller alone is asked about its quorum.
"""

import contextlib
import logging
import os
import secrets
import socket
import time
import uuid
from contextlib import ExitStack

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError

from market_pulse import access, health, quorum
from market_pulse.errors import AccessError
from market_pulse.health import BrokerFacts, ControllerFacts, Verdict
from market_pulse.kafka_login import RefusedError, explained
from market_pulse.settings import BrokerSettings, KafkaNodeSettings
from market_pulse.topic import connect

_TIMEOUT_SECONDS = 5
_TIMEOUT_MS = _TIMEOUT_SECONDS * 1000
_TIMEOUTS = {"bootstrap_timeout_ms": _TIMEOUT_MS, "request_timeout_ms": _TIMEOUT_MS}
_RETENTION = {"retention.ms": "60000", "segment.ms": "60000", "segment.bytes": "1048576", "cleanup.policy": "delete"}
# Whatever the cluster's own default is: there is one replica.
_CONFIGS = _RETENTION | {"min.insync.replicas": "1"}


class KafkaProbe:
    """Keeps its connections while the broker answers, and makes new ones after every failure."""

    def __init__(self, settings: BrokerSettings) -> None:
        """Connect at the first look."""
        # What the client logs about a broker that is away, each verdict says in a word.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._settings = settings
        self._partition = TopicPartition(f"{access.PROBE_PREFIX}{settings.kafka_node_id}", 0)
        self._connections: _Connections | None = None

    def __call__(self) -> Verdict:
        """Ask for the quorum and send a record through the broker."""
        try:
            if self._connections is None:
                self._connections = _Connections(self._settings, self._partition)
            return health.broker(self._connections.ask(self._settings.kafka_node_id, self._partition))
        except (RefusedError, AccessError) as error:
            self.close()
            return Verdict(healthy=False, sentence=f"no round trip: {error}")
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
    def __init__(self, settings: BrokerSettings, partition: TopicPartition) -> None:
        # A client that finds nobody leaves its thread and sockets behind (kafka-python 3.0.12).
        for listener in (settings.kafka_broker_listener, settings.kafka_listener):
            host, _, port = listener.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_TIMEOUT_SECONDS).close()
        with ExitStack() as stack:
            self._admin = connect(settings.broker_login, _TIMEOUT_SECONDS)
            stack.callback(self._admin.close)
            self._make_topic(partition.topic, settings.kafka_node_id)
            login = settings.login(partition.topic, secrets.token_urlsafe())
            access.agree_on_acls(self._admin, access.probe_rights(partition.topic), only=False)
            access.set_password(self._admin, login)
            common = _TIMEOUTS | login.options
            with explained(login):
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
                    {name: {"assignments": {0: [node_id]}, "configs": _CONFIGS}}, wait_for_metadata=True
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


class ControllerProbe:
    """Asks a node that has no listener for clients, with a new connection at every look."""

    def __init__(self, settings: KafkaNodeSettings, listener: str) -> None:
        """Connect at the first look."""
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._node_id = settings.kafka_node_id
        self._login = settings.node_login(listener)

    def __call__(self) -> Verdict:
        """Ask who votes."""
        try:
            voters = quorum.voters(self._login)
        except RefusedError as error:
            return Verdict(healthy=False, sentence=f"no answer: {error}")
        except (KafkaError, OSError) as error:
            return Verdict(healthy=False, sentence=f"no answer: {type(error).__name__}")
        count = None if voters is None else len(voters)
        return health.controller(ControllerFacts(node_id=self._node_id, voters=count))


def probe() -> KafkaProbe | ControllerProbe:
    """Return the probe of this host's node: of its broker, where it has one.

    Raises:
        SettingsError: a listener, its node id or its key is not given.
    """
    settings = KafkaNodeSettings.load()
    if settings.kafka_controller_listener is not None and not os.environ.get("MP_KAFKA_LISTENER"):
        return ControllerProbe(settings, settings.kafka_controller_listener)
    return KafkaProbe(BrokerSettings.load())
