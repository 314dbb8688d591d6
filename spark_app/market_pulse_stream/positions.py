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


def plan(topic: Topic, stored: Mapping[UUID, Mapping[int, int]]) -> Plan:
    """Return where to go on, or refuse to go on where that would skip records or store them twice.

    Args:
        topic: the topic now.
        stored: the next offsets in PostgreSQL under the topic's name, by topic id and partition.

    Raises:
        PositionError: naming each partition, its offset range and what to do.
    """
    known = stored.get(topic.id, {})
    problems = [sentence for partition in sorted(known) if (sentence := _problem(topic, partition, known[partition]))]
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


def _problem(topic: Topic, partition: int, stored: int) -> str | None:
    where = f"topic {topic.name} partition {partition}"
    if partition not in topic.beginning:
        return f"{where} has a stored position and is not in the topic, which cannot shrink: id {topic.id}"
    beginning, end = topic.beginning[partition], topic.end[partition]
    if stored < beginning:
        return (
            f"{where}: offsets {stored} to {beginning - 1} were deleted by retention before they were stored; "
            f"fetch those bars again from the vendor, then {_accept(topic, partition, beginning)}"
        )
    if stored > end:
        return (
            f"{where}: offsets {end} to {stored - 1} are stored, but the broker's log now ends at {end}: it lost its "
            f"tail or was restored; if the broker will not get it back, {_accept(topic, partition, end)}"
        )
    return None


def _accept(topic: Topic, partition: int, offset: int) -> str:
    statement = f"SET next_offset = {offset} WHERE topic_id = '{topic.id}' AND partition = {partition}"
    return f"accept it in psql: UPDATE market.stream_position {statement}"
