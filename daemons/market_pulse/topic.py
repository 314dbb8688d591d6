"""``python -m market_pulse.topic BROKERS TOPIC PARTITIONS [KEY=VALUE…]``: the topic as it was agreed on.

Creates the topic, or sets what differs of its configuration, and prints what it changed; nothing if nothing. The
number of partitions is agreed on once: another one would move symbols between partitions, and with them their order.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from market_pulse.errors import TopicError

_TIMEOUT_MS = 10_000


def agree(admin: KafkaAdminClient, topic: str, partitions: int, configuration: Mapping[str, str]) -> str:
    """Make the topic what it should be, and return what was changed, in words, or nothing.

    Raises:
        TopicError: it exists with another number of partitions.
    """
    if topic not in admin.list_topics():
        options = {"num_partitions": partitions, "replication_factor": -1, "configs": dict(configuration)}
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
    answer = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, differing)])["topic"][topic]
    if answer != "OK":
        raise TopicError(f"topic {topic} refuses {differing}: {answer}")
    return f"set {', '.join(f'{key}={value}' for key, value in differing.items())} for {topic}"


def main(arguments: Sequence[str]) -> int:
    """Read the command line, agree on the topic, and return the exit code."""
    match arguments:
        case [brokers, topic, partitions, *settings] if partitions.isdecimal() and all(
            "=" in text for text in settings
        ):
            try:
                admin = KafkaAdminClient(
                    bootstrap_servers=brokers, bootstrap_timeout_ms=_TIMEOUT_MS, request_timeout_ms=_TIMEOUT_MS
                )
                with admin:
                    changed = agree(admin, topic, int(partitions), dict(text.split("=", 1) for text in settings))
            except (TopicError, KafkaError) as error:
                sys.stderr.write(f"{error}\n")
                return os.EX_CONFIG
            sys.stdout.write(changed)
            return os.EX_OK
        case _:
            sys.stderr.write("usage: python -m market_pulse.topic BROKERS TOPIC PARTITIONS [KEY=VALUE...]\n")
            return os.EX_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
