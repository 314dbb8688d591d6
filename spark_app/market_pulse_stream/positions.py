"""Where to start reading: what PostgreSQL stored against what the topic still holds. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from market_pulse.errors import PositionError
from market_pulse.topic import Topic

# What a producer took back was never told. The price: a transaction that stays open holds up its partition, until the
# broker ends it after at most transaction.max.timeout.ms, 15 minutes.
ISOLATION_LEVEL = "read_committed"


@dataclass(frozen=True)
class Plan:
    """The next offset to read of each partition, and what the operator should know about it.

    `gone` says which records were deleted before the first start could read them, by partition; it is among the notes.
    """

    next_offset: Mapping[int, int]
    notes: tuple[str, ...]
    gone: Mapping[int, str]

    def starting_offsets(self, topic: str) -> str:
        """Return the JSON of the Kafka source's ``startingOffsets`` option."""
        return json.dumps({topic: {str(partition): offset for partition, offset in self.next_offset.items()}})


def ends_of_batch(log: str, topic: str) -> dict[int, int]:
    """Return up to which offset a batch reads each partition.

    Args:
        log: an entry of Spark's log of offsets: one line each for its version, the batch, and the only source.
        topic: the source's.
    """
    return {int(partition): end for partition, end in json.loads(log.splitlines()[2])[topic].items()}


def losses(topic: Topic, known: Mapping[int, int], truncated: Mapping[int, int]) -> dict[int, str]:
    """Return, for each stored position of this topic that does not fit to its log, which records are lost.

    Args:
        topic: the topic now.
        known: its stored positions.
        truncated: from which offset on a partition's log lost its records, where it lost some below the position.

    Such a finding has to be kept: it is gone when a leader of another epoch has stored what was read since.
    """
    found = {}
    for partition in sorted(known.keys() & topic.beginning.keys()):
        stored, beginning, end = known[partition], topic.beginning[partition], topic.end[partition]
        where = f"topic {topic.name} partition {partition}"
        if stored < beginning:
            found[partition] = (
                f"{where}: offsets {stored} to {beginning - 1} were deleted by retention before they were stored; "
                "fetch those bars again from the vendor"
            )
        if (lost := min(end, truncated.get(partition, end))) < stored:
            found[partition] = cut(topic.name, partition, range(lost, stored))
    return found


def cut(topic: str, partition: int, lost: range) -> str:
    """Say that a partition's log lost these offsets, which are stored."""
    return (
        f"topic {topic} partition {partition}: offsets {lost.start} to {lost.stop - 1} are stored, but the broker's "
        f"log ended at {lost.start}: it lost its tail or was restored; get it back if the broker can"
    )


def plan(topic: Topic, stored: Mapping[UUID, Mapping[int, int]], held: Mapping[int, str]) -> Plan:
    """Return where to go on, or refuse to go on where that would skip records or store them twice.

    Args:
        topic: the topic now.
        stored: the next offsets in PostgreSQL under the topic's name, by topic id and partition.
        held: what `losses` found of this topic, now or at an earlier start, and nobody has accepted yet.

    Raises:
        PositionError: naming each partition, its offset range and what to do.
    """
    known = stored.get(topic.id, {})
    problems = [
        f"topic {topic.name} partition {partition} has a stored position and is not in the topic, which cannot shrink: "
        f"id {topic.id}"
        for partition in sorted(known.keys() - topic.beginning.keys())
    ]
    problems += [
        f"{held[partition]}; {_way_out(topic, partition)}" for partition in sorted(held.keys() & topic.beginning.keys())
    ]
    if problems:
        raise PositionError("; ".join(problems))
    notes = []
    others = sorted(str(topic_id) for topic_id in stored if topic_id != topic.id)
    if others and not known:
        notes.append(
            f"topic {topic.name} was made anew: it has the id {topic.id}, the positions of {', '.join(others)} do not "
            "apply to it, and it is read from its beginning"
        )
    new = sorted(topic.beginning.keys() - known.keys())
    waiting = sum(topic.end[partition] - offset for partition, offset in known.items())
    if known and new and waiting:
        # Not refused: the tables end the same in any order, and symbols that moved would get no bars.
        notes.append(
            f"topic {topic.name} has the new partition {', '.join(map(str, new))}, so that symbols have moved, while "
            f"{waiting} records of the others are not stored: the newest telling stands even so, but an answer may be "
            "stored before its bars"
        )
    # The start is not held: nothing is stored that could be wrong, and what waits in the log would only age.
    gone = {
        partition: f"topic {topic.name} partition {partition}: offsets 0 to {topic.beginning[partition] - 1} were gone "
        "before they could be read; fetch those bars again from the vendor, and accept it in psql: "
        f"SELECT market.accept_loss('{topic.id}', {partition})"
        for partition in new
        if topic.beginning[partition] > 0
    }
    next_offset = {partition: known.get(partition, first) for partition, first in topic.beginning.items()}
    return Plan(next_offset, (*notes, *gone.values()), gone)


def _way_out(topic: Topic, partition: int) -> str:
    # From the beginning, because nobody knows which records came after the loss; bars that are stored do not change.
    arguments = f"'{topic.id}', {partition}, {topic.beginning[partition]}"
    return f"the consumer is held until this is accepted in psql: SELECT market.accept_position({arguments})"
