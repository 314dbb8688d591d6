"""What Kafka says of itself: topics, offsets, configuration, groups and records. It is asked, and nothing is changed.

Source: an admin client and a consumer without a group, as the principal `web`. The functions wait for Kafka and are
for a thread; times are in UTC.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.consumer.fetcher import ConsumerRecord

from market_pulse.contract import Bar, Rejection, decode
from market_pulse.kafka_login import Login, explained

MOST_RECORDS = 100
# Of a key or a value that is shown as it is.
_MOST_SHOWN = 2048
_POLL_MILLISECONDS = 500
_POLLS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """A partition: the first offset that it holds and the one that it gives out next; brokers by their node ids."""

    partition: int
    leader: int
    replicas: list[int]
    in_sync: list[int]
    beginning: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicView:
    """A topic with its partitions."""

    name: str
    id: UUID
    is_internal: bool
    partitions: list[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """How far a group has committed a partition; `records` is what it has not."""

    topic: str
    partition: int
    next_offset: int
    end: int | None
    records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A consumer group."""

    name: str
    state: str
    members: int
    offsets: list[Committed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of a topic's or a broker's configuration; `is_own` if it is not the default."""

    name: str
    value: str | None
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record: `kind` is bar, answer or refused, or text in another topic than the bars'; `shown` is what it says."""

    partition: int
    offset: int
    appended_at: datetime
    key: str | None
    kind: str
    shown: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The brokers by node id, as ``host:port``, the one that leads the others, and what is on them."""

    id: str
    controller: int
    brokers: dict[int, str]
    topics: list[TopicView]
    groups: list[Group]


def cluster(admin: KafkaAdminClient) -> Cluster:
    """Return the whole at one glance."""
    described = admin.describe_cluster()
    topics = [topic for topic in admin.describe_topics() if not topic["error_code"]]
    places = [TopicPartition(t["name"], p["partition_index"]) for t in topics for p in t["partitions"]]
    first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST)) if places else {}
    last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST)) if places else {}
    ends = {place: found.offset for place, found in last.items()}
    return Cluster(
        id=described["cluster_id"],
        controller=described["controller_id"],
        brokers={broker["broker_id"]: f"{broker['host']}:{broker['port']}" for broker in described["brokers"]},
        topics=[
            _topic(
                topic,
                {place.partition: found.offset for place, found in first.items() if place.topic == topic["name"]},
                ends,
            )
            for topic in sorted(topics, key=lambda topic: topic["name"])
        ],
        groups=_groups(admin, ends),
    )


def settings(admin: KafkaAdminClient, topic: str) -> list[Setting]:
    """Return the configuration of a topic, by name."""
    answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return [
        Setting(name=name, value=found["value"], is_own="TOPIC" in str(found.get("config_source", "")))
        for name, found in sorted(answer["topic"][topic].items())
    ]


def records(login: Login, place: TopicPartition, offset: int | None, limit: int, *, are_bars: bool) -> list[Record]:
    """Return records of a partition from an offset on, or the newest ones; nothing is committed.

    Raises:
        RefusedError: the principal may not read the topic.
        kafka.errors.KafkaError: the broker does not answer.
    """
    with (
        explained(login),
        contextlib.closing(
            KafkaConsumer(group_id=None, enable_auto_commit=False, auto_offset_reset="earliest", **login.options)
        ) as consumer,
    ):
        consumer.assign([place])
        beginning, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
        start = max(beginning, end - limit if offset is None else offset)
        consumer.seek(place, start)
        found: list[ConsumerRecord] = []
        for _ in range(_POLLS):
            # Transactions leave offsets without a record; so it is the position that tells the end.
            if len(found) >= limit or start >= end or consumer.position(place) >= end:
                break
            found += consumer.poll(timeout_ms=_POLL_MILLISECONDS, max_records=limit - len(found)).get(place, [])
    return [_record(record, are_bars=are_bars) for record in found[:limit]]


def _topic(topic: Mapping[str, Any], first: Mapping[int, int], ends: Mapping[TopicPartition, int]) -> TopicView:
    return TopicView(
        name=topic["name"],
        id=UUID(str(topic["topic_id"])),
        is_internal=bool(topic["is_internal"]),
        partitions=[
            Partition(
                partition=item["partition_index"],
                leader=item["leader_id"],
                replicas=list(item["replica_nodes"]),
                in_sync=list(item["isr_nodes"]),
                beginning=first[item["partition_index"]],
                end=ends[TopicPartition(topic["name"], item["partition_index"])],
            )
            for item in sorted(topic["partitions"], key=lambda item: int(item["partition_index"]))
        ],
    )


def _groups(admin: KafkaAdminClient, ends: Mapping[TopicPartition, int]) -> list[Group]:
    names = sorted(group["group_id"] for group in admin.list_groups())
    if not names:
        return []
    described, committed = admin.describe_groups(names), admin.list_group_offsets(names)
    return [
        Group(
            name=name,
            state=described[name]["group_state"],
            members=len(described[name]["members"]),
            offsets=list(_committed(committed.get(name, {}), ends)),
        )
        for name in names
    ]


def _committed(offsets: Mapping[TopicPartition, Any], ends: Mapping[TopicPartition, int]) -> Iterable[Committed]:
    for place, kept in sorted(offsets.items()):
        end = ends.get(place)
        records_behind = None if end is None else max(0, end - kept.offset)
        yield Committed(
            topic=place.topic, partition=place.partition, next_offset=kept.offset, end=end, records=records_behind
        )


def _record(record: ConsumerRecord, *, are_bars: bool) -> Record:
    kind, shown = "text", _text(record.value)
    if are_bars:
        found = decode(record.key, record.value)
        if isinstance(found, Rejection):
            kind, shown = "refused", f"{found.reason}: {found.detail}"
        elif isinstance(found, Bar):
            final = "final" if found.is_final else "forming"
            kind = "bar"
            shown = (
                f"{found.bar_time:%Y-%m-%d %H:%M} UTC {found.interval} {final}: open {found.open} high {found.high} "
                f"low {found.low} close {found.close} volume {found.volume}"
            )
        else:
            kind = "answer"
            shown = f"{found.cause} {found.function}: {found.refusal or f'{found.rows} bars, {found.told} told'}"
    return Record(
        partition=record.partition,
        offset=record.offset,
        appended_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        key=None if record.key is None else _text(record.key),
        kind=kind,
        shown=shown,
        bytes=len(record.value or b""),
    )


def _text(value: bytes | None) -> str:
    return "" if value is None else value[:_MOST_SHOWN].decode("utf-8", "replace")
