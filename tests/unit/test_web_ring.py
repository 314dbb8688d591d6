"""The ring and what is merged out of it: nothing that a reader lacks is left out without a word."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from market_pulse.contract import Bar
from market_pulse.web import protocol
from market_pulse.web.bars import Series, ShownBar, lags, local, shown
from market_pulse.web.ring import Entry, Ring

NEW_YORK = ZoneInfo("America/New_York")
IBM, MSFT = Series("IBM", "1min"), Series("MSFT", "1min")
START = datetime(2026, 5, 15, 13, 30, tzinfo=UTC)


def shown_bar(minute: int, close: str = "10", fetched: int = 65, *, is_final: bool = True) -> ShownBar:
    time = START + timedelta(minutes=minute)
    return ShownBar(
        bar_time=time,
        local_time=local(time, NEW_YORK),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=1,
        is_final=is_final,
        fetched_at=time + timedelta(seconds=fetched),
    )


def entry(sequence: int, series: Series = IBM, partition: int = 0) -> Entry:
    return Entry(series, partition, sequence, shown_bar(sequence))


def sequences(entries: list[Entry] | None) -> list[int] | None:
    return None if entries is None else [each.sequence for each in entries]


def test_who_comes_back_is_told_what_came_meanwhile_of_his_series_alone() -> None:
    ring = Ring("t", {0: 5}, most=10)
    for number in range(5, 9):
        ring.add(entry(number, IBM if number % 2 else MSFT))
    assert sequences(ring.after(IBM, 0, 4)) == [5, 7]
    assert sequences(ring.after(IBM, 0, 5)) == [7]
    assert sequences(ring.after(IBM, 0, 8)) == []
    assert ring.head(0) == 8


def test_who_comes_back_from_before_the_ring_is_not_told_that_he_has_missed_nothing() -> None:
    ring = Ring("t", {0: 5}, most=10)
    assert ring.after(IBM, 0, 3) is None
    assert ring.after(IBM, 0, 4) == []


def test_what_left_the_ring_is_missing_from_then_on() -> None:
    ring = Ring("t", {0: 0, 1: 0}, most=3)
    for number in range(3):
        ring.add(entry(number))
    ring.add(entry(0, MSFT, partition=1))
    assert len(ring) == 3
    assert ring.after(IBM, 0, -1) is None
    assert sequences(ring.after(IBM, 0, 0)) == [1, 2]
    assert sequences(ring.after(MSFT, 1, -1)) == [0]
    assert [ring.joins(0, next_offset) for next_offset in (0, 1)] == [False, True]
    assert ring.joins(1, 0)


@given(st.lists(st.tuples(st.sampled_from([IBM, MSFT]), st.integers(0, 2)), max_size=60), st.integers(1, 12), st.data())
def test_a_snapshot_and_the_ring_or_a_resumption_never_leave_a_hole(
    told: list[tuple[Series, int]], most: int, data: st.DataObject
) -> None:
    stored = {partition: data.draw(st.integers(0, 3)) for partition in range(3)}
    ring, ends = Ring("t", stored, most), dict(stored)
    log: list[Entry] = []
    for series, partition in told:
        log.append(entry(ends[partition], series, partition))
        ring.add(log[-1])
        ends[partition] += 1
    for partition in range(3):
        position = data.draw(st.integers(stored[partition], ends[partition]))
        mine = [each for each in log if each.partition == partition and each.series == IBM]
        kept = {each.sequence for each in ring.entries(IBM) if each.partition == partition}
        if ring.joins(partition, position):
            assert {each.sequence for each in mine if each.sequence >= position} <= kept
        if (missed := ring.after(IBM, partition, position)) is not None:
            assert {each.sequence for each in mine if each.sequence > position} <= set(sequences(missed) or [])
    assert len(ring) <= most


def test_of_a_bar_that_was_told_twice_the_later_telling_stands_wherever_it_comes_from() -> None:
    forming, final = shown_bar(1, "10", 20, is_final=False), shown_bar(1, "11", 65)
    assert protocol.merged([shown_bar(0), forming], [final], 10) == [shown_bar(0), final]
    assert protocol.merged([shown_bar(0), final], [forming], 10) == [shown_bar(0), final]
    assert protocol.merged([shown_bar(0)], [shown_bar(2), shown_bar(1)], 2) == [shown_bar(1), shown_bar(2)]


def test_times_are_the_exchanges_on_both_sides_of_a_change_of_clocks() -> None:
    times = ["2026-03-06T14:30:00+00:00", "2026-03-09T13:30:00+00:00"]
    assert [f"{local(datetime.fromisoformat(time), NEW_YORK):%H:%M}" for time in times] == ["09:30", "09:30"]


def test_a_bar_of_the_topic_is_shown_to_the_last_digit() -> None:
    told = Bar(
        v=1,
        source="test",
        request_id="r1",
        symbol="IBM",
        interval="1min",
        bar_time=START,
        open="10.12345678",
        high="12.50",
        low="9",
        close="11",
        volume="3000000000",
        is_final=False,
        fetched_at=START,
    )
    made = shown(told, NEW_YORK)
    assert (made.open, made.high, made.is_final, made.volume) == ("10.12345678", "12.50", False, 3_000_000_000)


def test_lag_is_what_is_not_stored() -> None:
    found = [(lag.partition, lag.records) for lag in lags({0: 10, 1: 5}, {0: 7, 2: 3})]
    assert found == [(0, 3), (1, 5), (2, None)]
