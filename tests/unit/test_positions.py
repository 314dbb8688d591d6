import json
from uuid import UUID

import pytest

from market_pulse.errors import PositionError
from market_pulse.topic import Topic
from market_pulse_stream import positions
from market_pulse_stream.positions import Plan, ends_of_batch, losses

_ID = UUID("00000000-0000-4000-8000-000000000001")
_OTHER = UUID("00000000-0000-4000-8000-000000000002")


def topic(beginning: dict[int, int] | None = None, end: dict[int, int] | None = None) -> Topic:
    return Topic("market.bars", _ID, beginning or {0: 0, 1: 0}, end or {0: 50, 1: 7})


def plan(now: Topic, stored: dict[UUID, dict[int, int]]) -> Plan:
    """Plan as a start does whose database holds no partition yet."""
    return positions.plan(now, stored, losses(now, stored.get(now.id, {}), {}))


def test_a_first_start_reads_everything() -> None:
    planned = plan(topic(), {})
    assert planned.next_offset == {0: 0, 1: 0}
    assert planned.notes == ()
    assert json.loads(planned.starting_offsets("market.bars")) == {"market.bars": {"0": 0, "1": 0}}


def test_a_restart_goes_on_where_the_database_is() -> None:
    assert plan(topic(), {_ID: {0: 20, 1: 7}}).next_offset == {0: 20, 1: 7}


def test_a_new_partition_is_read_from_its_beginning_and_said() -> None:
    planned = plan(topic(), {_ID: {0: 20}})
    assert planned.next_offset == {0: 20, 1: 0}
    (note,) = planned.notes
    assert note.startswith("topic market.bars has the new partition 1, so that symbols have moved, while 30 records of")
    assert plan(topic(), {_ID: {0: 50}}).notes == ()


def test_a_topic_made_anew_is_read_from_its_beginning_and_said() -> None:
    planned = plan(topic(), {_OTHER: {0: 33, 1: 44}})
    assert planned.next_offset == {0: 0, 1: 0}
    assert len(planned.notes) == 1
    assert "was made anew" in planned.notes[0]
    assert str(_OTHER) in planned.notes[0]


def test_an_older_topic_of_the_name_is_not_mentioned_twice() -> None:
    assert plan(topic(), {_OTHER: {0: 33}, _ID: {0: 1, 1: 1}}).notes == ()


def test_records_that_were_gone_before_the_first_start_are_said() -> None:
    planned = plan(topic(beginning={0: 12, 1: 0}), {})
    assert planned.next_offset == {0: 12, 1: 0}
    assert planned.gone == {
        0: "topic market.bars partition 0: offsets 0 to 11 were gone before they could be read; fetch those bars again "
        f"from the vendor, and accept it in psql: SELECT market.accept_loss('{_ID}', 0)"
    }
    assert planned.notes == tuple(planned.gone.values())
    assert plan(topic(beginning={0: 12, 1: 0}), {_ID: {0: 12, 1: 0}}).gone == {}


def test_a_stored_position_at_either_edge_is_good() -> None:
    assert plan(topic(beginning={0: 50, 1: 7}), {_ID: {0: 50, 1: 7}}).next_offset == {0: 50, 1: 7}


def test_a_gap_made_by_retention_is_refused_with_its_range_and_the_way_out() -> None:
    with pytest.raises(PositionError) as refused:
        plan(topic(beginning={0: 30, 1: 0}), {_ID: {0: 20, 1: 7}})
    assert "topic market.bars partition 0: offsets 20 to 29 were deleted by retention" in str(refused.value)
    assert f"SELECT market.accept_position('{_ID}', 0, 30)" in str(refused.value)


def test_a_broker_that_lost_its_tail_is_refused_with_the_range() -> None:
    with pytest.raises(PositionError, match="partition 1: offsets 7 to 8 are stored, but the broker's log"):
        plan(topic(), {_ID: {0: 50, 1: 9}})


def test_a_loss_that_was_found_earlier_is_refused_though_the_log_has_grown_past_it() -> None:
    with pytest.raises(PositionError) as refused:
        positions.plan(topic(beginning={0: 4, 1: 0}), {_ID: {0: 20, 1: 7}}, {0: "what was lost"})
    assert str(refused.value).startswith("what was lost; the consumer is held until")
    assert f"market.accept_position('{_ID}', 0, 4)" in str(refused.value)


def test_every_partition_in_trouble_is_named_at_once() -> None:
    with pytest.raises(PositionError) as refused:
        plan(topic(beginning={0: 30, 1: 0}), {_ID: {0: 20, 1: 9, 2: 5}})
    assert [f"partition {number}" in str(refused.value) for number in (0, 1, 2)] == [True, True, True]


def test_what_a_batch_reads_stands_in_the_log_of_offsets() -> None:
    log = 'v1\n{"batchWatermarkMs":0,"conf":{}}\n{"market.bars":{"0":12,"11":7}}'
    assert ends_of_batch(log, "market.bars") == {0: 12, 11: 7}
