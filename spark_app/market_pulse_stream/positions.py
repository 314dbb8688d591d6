"""Where to start reading: what PostgreSQL stored against what the topic still holds. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from market_pulse.errors import PositionError
from market_pulse.topic import Topic


@dataclass(frozen=True)
class Plan:
    """The next offset to read of each partition, and what the operator should know about it."""

    next_offset: Mapping[int, int]
    notes: tuple[str, ...]

    def starting_offsets(self, topic: str) -> str:
        """Return the JSON of the Kafka source's ``startingOffsets`` option."""
        return json.dumps({topic: {str(partition): offset for partition, offset in self.next_offset.items()}})


def losses(topic: Topic, known: Mapping[int, int]) -> dict[int, str]:
    """Return, for each stored position of this topic that does not fit to its log, which records are lost.

    Such a finding has to be kept: the log may grow past the position, and then nothing would show the loss any more.
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
        if stored > end:
            found[partition] = (
                f"{where}: offsets {end} to {stored - 1} are stored, but the broker's log ended at {end}: it lost its "
                "tail or was restored; get it back if the broker can"
            )
    return found


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
    notes += [
        f"topic {topic.name} partition {partition} begins at offset {topic.beginning[partition]}: "
        f"offsets 0 to {topic.beginning[partition] - 1} were gone before they could be read"
        for partition in sorted(topic.beginning.keys() - known.keys())
        if topic.beginning[partition] > 0
    ]
    return Plan({partition: known.get(partition, first) for partition, first in topic.beginning.items()}, tuple(notes))


def _way_out(topic: Topic, partition: int) -> str:
    # From the beginning, because nobody knows which records came after the loss; bars that are stored do not change.
    arguments = f"'{topic.id}', {partition}, {topic.beginning[partition]}"
    return f"the consumer is held until this is accepted in psql: SELECT market.accept_position({arguments})"
