"""On how many brokers the topics are, and whether all of them are in step.

``python -m market_pulse.replicas [FACTOR] [--without NODE…]`` gives every topic that is on fewer brokers FACTOR of
them, and a broker that has nothing its share of what is there, and returns when all replicas are in step, but for those
on nodes that are known to be away; as root on a broker's host with the environment of its unit. It prints what it
changed; nothing if nothing. A replica leaves its broker only when another one has taken its place and is in step.
The brokers' probes have topics of their own, each on one broker.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from market_pulse.access import PROBE_PREFIX
from market_pulse.errors import NodeError, SettingsError
from market_pulse.settings import BrokerSettings
from market_pulse.topic import connect

# Without any replica coming into step.
_PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = 1.0

Placement = Mapping[TopicPartition, Sequence[int]]


def raised(placed: Placement, brokers: Collection[int], factor: int) -> dict[TopicPartition, list[int]]:
    """Return new placements of the partitions that are on fewer than `factor` brokers, the first to lead.

    What holds a partition goes on holding it. Partitions and leads go to whom has the fewest of them.

    Raises:
        NodeError: there are fewer brokers than that.
    """
    if len(brokers) < factor:
        raise NodeError(f"there are brokers {sorted(brokers)}, and each record is to be on {factor} of them")
    held, led = Counter(node for nodes in placed.values() for node in nodes), Counter[int]()
    moves: dict[TopicPartition, list[int]] = {}
    for partition, nodes in sorted(placed.items()):
        now = list(nodes)
        while len(now) < factor:
            now.append(min(set(brokers) - set(now), key=lambda node: (held[node], node)))
            held[now[-1]] += 1
        if len(now) > len(nodes):
            leader = min(now, key=lambda node: (led[node], now.index(node)))
            now = [leader, *(node for node in now if node != leader)]
            moves[partition] = now
        led[now[0]] += 1
    return moves


def spread(placed: Placement, brokers: Collection[int]) -> dict[TopicPartition, list[int]]:
    """Return new placements by which each broker that holds nothing gets its share, of every topic and of the leads.

    It takes the places of those that hold the most; nothing else moves.
    """
    places = {partition: list(nodes) for partition, nodes in sorted(placed.items())}
    held = Counter(node for nodes in places.values() for node in nodes)
    share, lead_share = sum(held[node] for node in brokers) // len(brokers), len(places) // len(brokers)
    moves: dict[TopicPartition, list[int]] = {}
    for newcomer in sorted(node for node in brokers if not held[node]):
        by_topic, leads = Counter[str](), 0
        while held[newcomer] < share:
            offers = [
                (
                    -held[giver],
                    by_topic[partition.topic],
                    (giver == nodes[0]) is (leads >= lead_share),
                    partition,
                    giver,
                )
                for partition, nodes in places.items()
                for giver in nodes
                if newcomer not in nodes and giver in brokers and held[giver] > share
            ]
            if not offers:
                break
            *_, partition, giver = min(offers)
            places[partition] = moves[partition] = [newcomer if node == giver else node for node in places[partition]]
            held.update({newcomer: 1, giver: -1})
            by_topic[partition.topic] += 1
            leads += places[partition][0] == newcomer
    return moves


def place(admin: KafkaAdminClient, factor: int) -> list[str]:
    """Have every topic copied to as many brokers and a new broker have its share; return what was done, in words.

    Raises:
        NodeError: there are fewer brokers, or the cluster refuses.
    """
    placed: dict[TopicPartition, Sequence[int]] = {each: item["replica_nodes"] for each, item in _partitions(admin)}
    alive = [node["broker_id"] for node in admin.describe_cluster()["brokers"] if not node.get("is_fenced")]
    copies = raised(placed, alive, factor)
    shares = spread({**placed, **copies}, alive)
    moves = {**copies, **shares}
    if not moves:
        return []
    answers = admin.alter_partition_reassignments(moves)
    refused = {partition: error for partition, error in answers.items() if error is not None}
    if refused:
        partition, error = next(iter(refused.items()))
        raise NodeError(f"{partition.topic}, partition {partition.partition}, is not to be copied: {error.__name__}")
    _await(lambda: lacking(dict(_partitions(admin)), moves))
    given = Counter(node for partition, nodes in shares.items() for node in set(nodes) - set(placed[partition]))
    return [
        *(f"copied {topic} to {factor} brokers" for topic in sorted({partition.topic for partition in copies})),
        *(f"moved {count} replicas to broker {node}" for node, count in sorted(given.items())),
    ]


def await_in_step(admin: KafkaAdminClient, without: Collection[int]) -> None:
    """Return when every replica of every topic is in step, but for those on the nodes `without`.

    Raises:
        NodeError: for ten minutes none came into step.
    """
    _await(lambda: lacking(dict(_partitions(admin)), without=without))


def lacking(
    described: Mapping[TopicPartition, Mapping[str, list[int]]],
    moves: Placement = MappingProxyType({}),
    without: Collection[int] = (),
) -> dict[TopicPartition, set[int]]:
    """Return by partition the brokers that should be in step, and are not.

    Args:
        described: the brokers that hold each partition, ``replica_nodes``, and those in step, ``isr_nodes``.
        moves: the brokers that are to hold some of them.
        without: brokers that need not be in step.
    """
    found = {}
    for partition, item in described.items():
        wanted = set(item["replica_nodes"]) | set(moves.get(partition, ()))
        if missing := wanted - set(item["isr_nodes"]) - set(without):
            found[partition] = missing
    return found


def _partitions(admin: KafkaAdminClient) -> Iterator[tuple[TopicPartition, Mapping[str, list[int]]]]:
    for topic in admin.describe_topics():
        if not topic["name"].startswith(PROBE_PREFIX):
            for item in topic["partitions"]:
                yield TopicPartition(topic["name"], item["partition_index"]), item


def _await(lacking: Callable[[], Mapping[TopicPartition, set[int]]]) -> None:
    before, since = lacking(), time.monotonic()
    while before:
        if time.monotonic() - since > _PATIENCE_SECONDS:
            partition, nodes = next(iter(before.items()))
            raise NodeError(
                f"{partition.topic}, partition {partition.partition}, is not in step on {sorted(nodes)}, nor are "
                f"{len(before) - 1} other partitions; nothing has changed for {_PATIENCE_SECONDS:.0f} s"
            )
        time.sleep(_PAUSE_SECONDS)
        if (now := lacking()) != before:
            before, since = now, time.monotonic()


def main(arguments: Sequence[str]) -> int:
    """Read the command line, place what is to be placed, wait for it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m market_pulse.replicas")
    parser.add_argument(
        "factor", nargs="?", type=int, default=0, help="on how many brokers each topic is to be, at least"
    )
    parser.add_argument(
        "--without", nargs="+", type=int, default=[], metavar="NODE", help="nodes that need not be in step"
    )
    wish = parser.parse_args(arguments)
    try:
        with connect(BrokerSettings.load().broker_login) as admin:
            changed = place(admin, wish.factor) if wish.factor else []
            await_in_step(admin, wish.without)
    except (NodeError, SettingsError, KafkaError) as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_CONFIG
    sys.stdout.write("".join(f"{line}\n" for line in changed))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
