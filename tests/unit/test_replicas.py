"""Copies of partitions on more brokers, and shares of those that are new: load and leads are shared out."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from market_pulse.errors import NodeError
from market_pulse.replicas import lacking, raised, spread


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


def test_a_fourth_broker_gets_a_quarter_of_each_topic_and_of_the_leads() -> None:
    before = {
        TopicPartition(topic, number): [number % 3 + 1, (number + 1) % 3 + 1, (number + 2) % 3 + 1]
        for topic in ("bars", "offsets")
        for number in range(12)
    }
    moves = spread(before, [1, 2, 3, 4])
    after = {**before, **moves}
    assert Counter(node for nodes in after.values() for node in nodes) == {1: 18, 2: 18, 3: 18, 4: 18}
    assert Counter(partition.topic for partition in moves) == {"bars": 9, "offsets": 9}
    assert Counter(nodes[0] for nodes in after.values())[4] == 6


def test_where_nobody_is_new_nothing_moves() -> None:
    assert spread(on([1, 2, 3], [1, 2, 3], [1, 2, 3], [4, 1, 2]), [1, 2, 3, 4]) == {}
    assert spread(on([1], [1]), [1, 2, 3]) == {}


def test_what_an_absent_broker_holds_is_left_to_it() -> None:
    before = on([1, 9], [9, 1], [1, 9], [9, 1], [1, 9], [9, 1])
    moves = spread(before, [1, 2])
    assert {partition: set(nodes) for partition, nodes in moves.items()} == {partition: {2, 9} for partition in moves}
    assert len(moves) == 3


@given(
    old=st.sets(st.integers(1, 5), min_size=2, max_size=4),
    new=st.sets(st.integers(6, 9), min_size=1, max_size=3),
    leads=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    size=st.integers(1, 2),
)
def test_a_share_takes_no_copy_away_and_is_given_once(
    old: set[int], new: set[int], leads: list[int], size: int
) -> None:
    known = sorted(old)
    before = on(*([known[(lead + place) % len(known)] for place in range(size)] for lead in leads))
    after = {**before, **spread(before, old | new)}
    assert all(len(set(nodes)) == size for nodes in after.values())
    held = Counter(node for nodes in after.values() for node in nodes)
    assert all(held[node] >= len(leads) * size // (len(old) + len(new)) for node in new)
    assert spread(after, old | new) == {} or any(not held[node] for node in new)


def test_a_replica_that_is_not_in_step_is_named_unless_its_node_is_known_to_be_away() -> None:
    place = TopicPartition("bars", 0)
    described = {place: {"replica_nodes": [1, 2, 3], "isr_nodes": [1]}}
    assert lacking(described) == {place: {2, 3}}
    assert lacking(described, without=[2]) == {place: {3}}
    assert lacking(described, without=[2, 3]) == {}
    assert lacking({place: {"replica_nodes": [1], "isr_nodes": [1]}}, {place: [1, 2]}) == {place: {2}}
