"""A second node joins a first one that is at work, and takes its share, and copies, of what that has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from integration.services.broker import Broker, kafka_broker
from market_pulse import quorum
from market_pulse.health import Verdict
from market_pulse.probes.kafka import KafkaProbe


def place_on(factor: int, broker: Broker) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "market_pulse.replicas", str(factor)],
        env=broker.own_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def look(broker: Broker) -> Verdict:
    probe = KafkaProbe(broker.settings)
    try:
        return probe()
    finally:
        probe.close()


@pytest.mark.slow
def test_a_topic_is_shared_and_copied_once_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with kafka_broker(tmp_path / "a") as first:
        topic = first.create_topic(partitions=4)
        producer = KafkaProducer(**first.options)
        sent = [producer.send(topic, b"before", partition=number % 4) for number in range(100)]
        assert {future.get(timeout=30).offset for future in sent} == set(range(25))
        assert look(first).healthy
        with kafka_broker(tmp_path / "b", joins=first) as second:
            storage = (tmp_path / "b" / "data" / "meta.properties").read_text()
            controllers = [str(broker.settings.kafka_controller_listener) for broker in (first, second)]
            quorum.await_vote(second.settings, controllers, quorum.storage(storage))
            assert "a quorum of 2, " in look(second).sentence
            assert place_on(1, second) == "moved 2 replicas to broker 2\n"
            assert place_on(1, first) == ""
            with second.admin() as admin:
                (described,) = admin.describe_topics([topic])
            assert sorted(item["replica_nodes"] for item in described["partitions"]) == [[1], [1], [2], [2]]
            assert place_on(2, second) == f"copied {topic} to 2 brokers\n"
            assert place_on(2, first) == ""
            with second.admin() as admin:
                (described,) = admin.describe_topics([topic])
            assert all(set(item["isr_nodes"]) == {1, 2} for item in described["partitions"])
            # Each leads half of it, and the probes' topics stay where they are.
            assert sorted(item["replica_nodes"][0] for item in described["partitions"]) == [1, 1, 2, 2]
            assert look(first).healthy
            sent = [producer.send(topic, b"after", partition=number % 4) for number in range(4)]
            assert {future.get(timeout=30).offset for future in sent} == {25}
            producer.close()
            consumer = KafkaConsumer(**second.options)
            consumer.assign([TopicPartition(topic, number) for number in range(4)])
            ends = consumer.end_offsets(consumer.assignment())
            consumer.close()
            assert set(ends.values()) == {26}
