"""The topic: as the broker has it, and as it was agreed on.

``python -m market_pulse.topic [--dry-run] TOPIC PARTITIONS [KEY=VALUE…]`` creates the topic, or sets what differs of
its configuration, as root on the broker's host with the environment of its unit, and prints what it changed, or in a
dry run would change; nothing if nothing. The number of partitions is agreed on once: another one would move symbols
between partitions, and with them their order.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, TopicAuthorizationFailedError
from kafka.net.compat import KafkaNetClient

from market_pulse.errors import SettingsError, TopicError
from market_pulse.kafka_login import BrokerLogin, Login, explained
from market_pulse.settings import BrokerSettings

DRY_RUN = "--dry-run"
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Topic:
    """The topic as the broker has it: per partition the first offset it still holds and the one it gives out next.

    `leader_epochs` holds in which epoch each is led: a leader of another one may have lost records of the one before.
    """

    name: str
    id: UUID
    beginning: Mapping[int, int]
    end: Mapping[int, int]
    leader_epochs: Mapping[int, int | None] = field(default_factory=dict)


def connect(login: Login | BrokerLogin, seconds: int = _TIMEOUT_SECONDS) -> KafkaAdminClient:
    """Return an admin client; it closes at the end of a `with` block.

    Raises:
        RefusedError: the broker does not let it in; the message says whom, and why.
        kafka.errors.KafkaError: no broker answers within seconds.
    """
    made: list[KafkaNetClient] = []

    def remember(**options: object) -> KafkaNetClient:
        made.append(KafkaNetClient(**options))
        return made[-1]

    timeouts = {"bootstrap_timeout_ms": seconds * 1000, "request_timeout_ms": _TIMEOUT_SECONDS * 1000}
    with explained(login):
        try:
            return KafkaAdminClient(kafka_client=remember, **timeouts, **login.options)
        except KafkaError:
            # One that is not let in leaves its thread and sockets behind (kafka-python 3.0.12).
            for client in made:
                client.close()
                client._manager._net.stop()  # noqa: SLF001 - the client has no other way
            raise


def look_up(login: Login | BrokerLogin, name: str) -> Topic:
    """Ask the broker for the topic.

    Raises:
        TopicError: there is no such topic.
        RefusedError: the broker does not let it in, or not see the topic.
        kafka.errors.KafkaError: the broker does not answer.
    """
    with connect(login) as admin, explained(login):
        (described,) = admin.describe_topics([name])
        if described["error_code"] == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(name)
        if not described["partitions"]:
            raise TopicError(f"topic {name} does not exist at {login.servers}; the kafka role creates it")
        partitions = [TopicPartition(name, item["partition_index"]) for item in described["partitions"]]
        first = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
        last = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        return Topic(
            name,
            UUID(str(described["topic_id"])),
            {item.partition: first[item].offset for item in partitions},
            {item.partition: last[item].offset for item in partitions},
            {item.partition: last[item].leader_epoch for item in partitions},
        )


def agree(
    admin: KafkaAdminClient,
    topic: str,
    partitions: int,
    configuration: Mapping[str, str],
    *,
    is_dry_run: bool = False,
) -> str:
    """Make the topic what it should be, and return what was changed, or in a dry run would be, in words, or nothing.

    Raises:
        TopicError: it exists with another number of partitions.
    """
    if topic not in admin.list_topics():
        options = {"num_partitions": partitions, "replication_factor": -1, "configs": dict(configuration)}
        if not is_dry_run:
            admin.create_topics({topic: options}, wait_for_metadata=True)
        return f"created {topic} with {partitions} partitions"
    found = len(admin.describe_topics([topic])[0]["partitions"])
    if found != partitions:
        raise TopicError(
            f"topic {topic} has {found} partitions, market_pulse_topic_partitions says {partitions}: "
            "the number is chosen once, as another one would move symbols between partitions"
        )
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    stored = admin.describe_configs([resource], config_filter="all")["topic"][topic]
    differing = {key: value for key, value in configuration.items() if stored[key]["value"] != value}
    if not differing:
        return ""
    if not is_dry_run:
        answer = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, differing)])["topic"][topic]
        if answer != "OK":
            raise TopicError(f"topic {topic} refuses {differing}: {answer}")
    return f"set {', '.join(f'{key}={value}' for key, value in differing.items())} for {topic}"


def main(arguments: Sequence[str]) -> int:
    """Read the command line, agree on the topic, and return the exit code."""
    is_dry_run = DRY_RUN in arguments[:1]
    match arguments[is_dry_run:]:
        case [topic, partitions, *settings] if partitions.isdecimal() and all("=" in text for text in settings):
            try:
                with connect(BrokerSettings.load().broker_login) as admin:
                    configuration = dict(text.split("=", 1) for text in settings)
                    changed = agree(admin, topic, int(partitions), configuration, is_dry_run=is_dry_run)
            except (TopicError, SettingsError, KafkaError) as error:
                sys.stderr.write(f"{error}\n")
                return os.EX_CONFIG
            sys.stdout.write(changed)
            return os.EX_OK
        case _:
            sys.stderr.write(f"usage: python -m market_pulse.topic [{DRY_RUN}] TOPIC PARTITIONS [KEY=VALUE...]\n")
            return os.EX_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
