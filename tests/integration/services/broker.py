"""A real Kafka broker in KRaft mode, one node, on free loopback ports."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient, TopicPartition

from integration.services.processes import CACHE, free_port, java, listening, require, running, wait_until
from support.repository import group_vars

_HEAP = ["-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


@dataclass(frozen=True)
class Broker:
    """Where the broker answers, and what a test asks of it."""

    bootstrap_servers: str
    log: Path

    @contextlib.contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """Give an admin client for the length of a block."""
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        try:
            yield client
        finally:
            client.close()

    def create_topic(self, partitions: int = 3, name: str | None = None, **configs: str) -> str:
        """Create a topic, by default under a name that no other test has, and return its name."""
        topic = name or f"bars-{uuid.uuid4().hex[:12]}"
        options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
        with self.admin() as admin:
            admin.create_topics({topic: options}, wait_for_metadata=True)
        return topic

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records of a partition below an offset, as retention does."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(topic, partition): before})

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until the broker has forgotten it."""
        with self.admin() as admin:
            admin.delete_topics([topic])
            wait_until(lambda: topic not in admin.list_topics(), what=f"deletion of {topic}", seconds=30)


@contextlib.contextmanager
def kafka_broker(directory: Path, port: int | None = None) -> Iterator[Broker]:
    """Run a broker whose files are in `directory`; the same directory and port start the same broker again."""
    libs = CACHE / f"kafka-{group_vars('versions')['kafka_version']}" / "libs"
    require(libs, say="run `make artifacts`, which fetches Kafka's jars into the cache")
    port, controller = port or free_port(), free_port()
    properties, log = directory / "server.properties", directory / "broker.log"
    properties.write_text(
        "".join(f"{key}={value}\n" for key, value in _properties(directory, port, controller).items())
    )
    command = [java(), *_HEAP, "-cp", f"{libs}/*"]
    if not (directory / "data" / "meta.properties").exists():
        storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", "bWFya2V0LXB1bHNlLXRlcw", "-c"]
        subprocess.run([*command, *storage, properties], check=True, stdout=subprocess.DEVNULL)
    with running([*command, "kafka.Kafka", properties], log=log) as process:
        wait_until(
            lambda: listening(port) or process.poll() is not None, what="the broker's start", seconds=60, log=log
        )
        broker = Broker(f"127.0.0.1:{port}", log)
        with broker.admin() as admin:
            wait_until(
                lambda: admin.describe_cluster()["brokers"], what="the broker's registration", seconds=60, log=log
            )
        yield broker


def _properties(directory: Path, port: int, controller: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": directory / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.retention.check.interval.ms": 1000,
        "log.segment.delete.delay.ms": 1000,
    }
