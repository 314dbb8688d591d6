"""Copies of a topic's partitions on more brokers: none is moved away, and load and leads are shared out."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from market_pulse.errors import NodeError
from market_pulse.replicas import lacking, raised


def on(*placements: list[int]) -> dict[TopicPartition, list[int]]:
    return {TopicPartition("bars", number): nodes for number, nodes in enumerate(placements)}


def test_what_is_on_enough_brokers_stays_where_it_is() -> None:
    assert raised(on([1, 2, 3], [3, 1, 2]), [1, 2, 3], 3) == {}
    assert raised(on([1, 2], [2, 1]), [1, 2, 3], 0) == {}


def test_one_broker_becomes_three_that_lead_a_third_each() -> None:
    moves = raised(on(*[[1]] * 12), [1, 2, 3], 3)
    assert all(set(nodes) == {1, 2, 3} for nodes in moves.values())
    assert Counter(nodes[0] for nodes in moves.values()) == {1: 4, 2: 4, 3: 4}


def test_copies_go_to_whom_has_the_fewest() -> None:
    moves = raised(on([1], [1], [1], [1]), [1, 2, 3], 2)
    assert Counter(nodes[-1] for nodes in moves.values() if nodes[-1] != 1) + Counter(
        nodes[0] for nodes in moves.values() if nodes[0] != 1
    ) == {2: 2, 3: 2}


def test_fewer_brokers_than_copies_are_named() -> None:
    with pytest.raises(NodeError, match=r"brokers \[1, 2\], and each record is to be on 3"):
        raised(on([1]), [2, 1], 3)


@given(
    brokers=st.sets(st.integers(1, 9), min_size=3, max_size=6),
    places=st.lists(st.permutations(range(6)), max_size=20),
    sizes=st.lists(st.integers(1, 3), min_size=20, max_size=20),
    factor=st.integers(0, 3),
)
def test_every_partition_ends_with_its_own_brokers_and_enough(
    brokers: set[int], places: list[list[int]], sizes: list[int], factor: int
) -> None:
    known = sorted(brokers)
    before = on(
        *(
            [known[place] for place in order if place < len(known)][:size]
            for order, size in zip(places, sizes, strict=False)
        )
    )
    moves = raised(before, brokers, factor)
    for partition, nodes in before.items():
        after = moves.get(partition, nodes)
        assert set(nodes) <= set(after) <= brokers
        assert len(after) == len(set(after)) == max(len(nodes), factor)


def test_a_replica_that_is_not_in_step_is_named_unless_its_node_is_known_to_be_away() -> None:
    place = TopicPartition("bars", 0)
    described = {place: {"replica_nodes": [1, 2, 3], "isr_nodes": [1]}}
    assert lacking(described) == {place: {2, 3}}
    assert lacking(described, without=[2]) == {place: {3}}
    assert lacking(described, without=[2, 3]) == {}
    assert lacking({place: {"replica_nodes": [1], "isr_nodes": [1]}}, {place: [1, 2]}) == {place: {2}}
