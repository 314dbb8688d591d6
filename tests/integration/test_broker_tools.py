"""The broker's probe and the agreement on the topic, against a real broker."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError

from integration.services.broker import Broker, kafka_broker
from market_pulse.contract import MAX_MESSAGE_BYTES
from market_pulse.errors import TopicError
from market_pulse.health import Verdict
from market_pulse.probes.kafka import KafkaProbe
from market_pulse.topic import agree
from support.ports import free_port
from support.repository import role_vars


@pytest.fixture
def probe(broker: Broker) -> Iterator[KafkaProbe]:
    made = KafkaProbe(broker.settings)
    yield made
    made.close()


def test_a_serving_broker_is_healthy_time_and_again(broker: Broker, probe: KafkaProbe) -> None:
    verdicts = [probe() for _ in range(3)]
    assert all(verdict.healthy for verdict in verdicts), verdicts
    assert verdicts[0].sentence.startswith("serving: node 1 leads a quorum of 1, a record there and back in ")
    with broker.admin() as admin:
        assert "market-pulse-probe-1" in admin.list_topics()


def test_nobody_there_is_a_verdict_and_leaves_nothing_behind(broker: Broker) -> None:
    nobody = {"kafka_broker_listener": f"127.0.0.1:{free_port()}"}
    probe = KafkaProbe(broker.settings.model_copy(update=nobody))
    before = threading.active_count()
    assert probe() == Verdict(healthy=False, sentence="no round trip: ConnectionRefusedError")
    assert threading.active_count() == before


# kafka-python leaves the sockets of a broker that does not answer to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_hangs_is_seen_and_a_broker_that_returns_is_too(tmp_path: Path) -> None:
    with kafka_broker(tmp_path) as broker:
        probe = KafkaProbe(broker.settings)
        assert probe().healthy
        pid = _listener(broker.bootstrap_servers)
        os.kill(pid, signal.SIGSTOP)
        try:
            verdict = probe()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert not verdict.healthy
        assert verdict.sentence.startswith("no round trip: ")
        assert any(probe().healthy for _ in range(5))
        probe.close()


# kafka-python leaves the sockets of a broker that does not answer to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_hangs_with_records_on_their_way_is_let_go_of(tmp_path: Path) -> None:
    with kafka_broker(tmp_path) as broker:
        probe = KafkaProbe(broker.settings)
        assert probe().healthy
        before = threading.active_count()
        pid = _listener(broker.bootstrap_servers)
        os.kill(pid, signal.SIGSTOP)
        try:
            probe._connections._producer.send("market-pulse-probe-1", b"on its way")  # type: ignore[union-attr]  # noqa: SLF001 - as a look leaves it
            probe.close()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert threading.active_count() < before


def test_the_topic_is_made_once_and_its_configuration_follows(broker: Broker) -> None:
    with broker.admin() as admin:
        try:
            wanted = {"retention.ms": "604800000", "message.timestamp.type": "LogAppendTime", "flush.messages": "1"}
            created = "created agreed with 12 partitions"
            assert agree(admin, "agreed", 12, wanted, is_dry_run=True) == created
            assert "agreed" not in admin.list_topics()
            assert agree(admin, "agreed", 12, wanted) == created
            assert agree(admin, "agreed", 12, wanted) == ""
            longer, changed = {**wanted, "retention.ms": "700000000"}, "set retention.ms=700000000 for agreed"
            # A dry run leaves the next one as much to do.
            assert [agree(admin, "agreed", 12, longer, is_dry_run=True) for _ in range(2)] == [changed, changed]
            assert agree(admin, "agreed", 12, longer) == changed
            with pytest.raises(TopicError, match="has 12 partitions, market_pulse_topic_partitions says 6"):
                agree(admin, "agreed", 6, wanted)
        finally:
            broker.delete_topic("agreed")


def test_the_topic_takes_what_the_producer_sends_and_refuses_what_is_far_larger(broker: Broker) -> None:
    agreed = role_vars("kafka")
    most = int(agreed["_kafka_topic_configuration"]["max.message.bytes"])
    assert KafkaProducer.DEFAULT_CONFIG["batch_size"] >= 2 * MAX_MESSAGE_BYTES
    assert most >= 2 * KafkaProducer.DEFAULT_CONFIG["batch_size"]
    topic = broker.create_topic(partitions=1, **{"max.message.bytes": str(most)})
    producer = KafkaProducer(**broker.options, linger_ms=50)
    try:
        sent = [producer.send(topic, b"x" * MAX_MESSAGE_BYTES) for _ in range(200)]
        assert [future.get(timeout=30).offset for future in sent] == list(range(200))
        with pytest.raises(MessageSizeTooLargeError):
            producer.send(topic, b"x" * most).get(timeout=30)
    finally:
        producer.close()
        broker.delete_topic(topic)


@pytest.mark.parametrize(
    ("partitions", "code", "said"),
    [("3", os.EX_OK, ""), ("4", os.EX_CONFIG, "chosen once"), ("many", os.EX_USAGE, "usage: ")],
)
def test_the_command_line(broker: Broker, topic: str, partitions: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "market_pulse.topic", topic, partitions],
        env=broker.own_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def _listener(address: str) -> int:
    port = address.rpartition(":")[2]
    found = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return int(found.rpartition("pid=")[2].split(",")[0])
