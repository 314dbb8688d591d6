"""A broker of the release before becomes one of this release, goes back, comes again, and stays; nothing is lost."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from integration.services.broker import RELEASE, Broker, kafka_broker
from integration.services.processes import CACHE, java
from market_pulse.kafka_login import Principal
from support.repository import ANSIBLE, group_vars

_BEFORE: str = group_vars("versions")["kafka_previous_version"]
_RECORDS = 200


@pytest.fixture(autouse=True)
def _release_before() -> None:
    resolve = [sys.executable, ANSIBLE / "artifacts" / "resolve.py", "--kafka", _BEFORE, "kafka"]
    subprocess.run(resolve, check=True, stdout=subprocess.DEVNULL)


def features(broker: Broker, directory: Path, *arguments: str) -> str:
    """Say or set of which release the broker's data is, by Kafka's own command, as the role does."""
    login = broker.settings.broker_login
    lines = {
        "security.protocol": "SSL",
        "ssl.keystore.location": login.keystore,
        "ssl.keystore.type": "PEM",
        "ssl.truststore.location": login.authority,
        "ssl.truststore.type": "PEM",
    }
    properties = directory / "admin.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    command = [java(), "-cp", f"{CACHE}/kafka-{RELEASE}/libs/*", "org.apache.kafka.tools.FeatureCommand"]
    where = ["--bootstrap-server", login.servers, "--command-config", properties]
    done = subprocess.run([*command, *where, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def levels(described: str) -> dict[str, str]:
    """Return of which level each feature of the data is."""
    found = re.findall(r"Feature: (\S+).*FinalizedVersionLevel: (\S+)", described)
    assert "metadata.version" in dict(found), described
    return dict(found)


def send(broker: Broker, topic: str, values: list[bytes]) -> None:
    """Send values and wait until each is acknowledged."""
    login = broker.login(Principal.PRODUCER)
    with contextlib.closing(KafkaProducer(**login.options, acks="all", enable_idempotence=True)) as producer:
        futures = [producer.send(topic, value) for value in values]
        assert all(future.get(timeout=60) for future in futures)


@pytest.mark.slow
def test_a_broker_goes_from_release_to_release_and_back_until_that_is_finished(tmp_path: Path) -> None:
    minor = ".".join(RELEASE.split(".")[:2])
    topic, sent = "", []
    for number, release in enumerate((_BEFORE, RELEASE, _BEFORE, RELEASE)):
        with kafka_broker(tmp_path, release=release) as broker:
            topic = topic or broker.create_topic(partitions=1)
            told = [str(number * _RECORDS + count).encode() for count in range(_RECORDS)]
            send(broker, topic, told)
            sent += told
            assert not levels(features(broker, tmp_path, "describe"))["metadata.version"].startswith(minor)
    with kafka_broker(tmp_path, release=RELEASE) as broker:
        features(broker, tmp_path, "upgrade", "--release-version", minor)
        described = features(broker, tmp_path, "describe")
        assert levels(described)["metadata.version"].startswith(minor)
        features(broker, tmp_path, "upgrade", "--release-version", minor)
        assert levels(features(broker, tmp_path, "describe")) == levels(described)
        assert values(broker, topic, len(sent)) == sent


def values(broker: Broker, topic: str, count: int) -> list[bytes]:
    """Return what a topic's only partition has, of at least so many records."""
    reader, found = KafkaConsumer(**broker.options, auto_offset_reset="earliest"), []
    with contextlib.closing(reader):
        reader.assign([place := TopicPartition(topic, 0)])
        while len(found) < count:
            batch = reader.poll(timeout_ms=10_000)
            assert batch, f"{len(found)} of {count} records are there"
            found += [record.value for record in batch[place]]
    return found
