"""What the pages decide: what a frame is, when a reader is cut off, and what is said of the feed."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_pulse.web import graph, health, hub, index, protocol
from market_pulse.web.bars import Completeness, Lag, Quote, Series, ShownBar
from market_pulse.web.health import Facts, Health, Market, State
from market_pulse.web.ring import Entry, Ring
from unit.test_web_ring import IBM, START, shown_bar

NOW = START + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("", "not a request"),
        ("[]", "not a request"),
        ('{"type": "subscribe"}', "symbol"),
        ('{"type": "buy", "symbol": "IBM"}', "type"),
        ('{"type": "subscribe", "symbol": "ibm\\n", "interval": "1min"}', "symbol must look like"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "2min"}', "interval must be one of 1min"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "1min", "bars": 0}', "bars must be from 1"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "1min", "after": 7}', "belong together"),
        ("[" * 10_000, "not a request"),
    ],
)
def test_a_frame_that_is_no_request_is_told_what_would_be_one(frame: str, said: str) -> None:
    with pytest.raises(protocol.FrameError, match=said):
        protocol.decode(frame)


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_no_frame_breaks_the_decoder(frame: str | bytes) -> None:
    with contextlib.suppress(protocol.FrameError):
        assert protocol.decode(frame)


# ---- the hub


def entries(count: int, series: Series = IBM) -> list[Entry]:
    return [Entry(series, 0, number, shown_bar(number)) for number in range(count)]


def reading(act: Callable[[hub.Hub], Any]) -> None:
    """Do something with a hub that has a ring, on an event loop."""

    async def within() -> None:
        made = hub.Hub()
        made.begin(Ring("t", {0: 0}, 10))
        await act(made)

    asyncio.run(within())


def test_a_reader_who_does_not_read_is_cut_off_and_costs_no_more_than_his_queue() -> None:
    async def act(made: hub.Hub) -> None:
        slow, quick = hub.Reader(), hub.Reader()
        for reader in (slow, quick):
            made.enter(reader)
            made.subscribe(reader, IBM)
        for each in entries(hub.MOST_WAITING + 50):
            made.publish([each], [])
            assert (await quick.next()).sequence == each.sequence
        with pytest.raises(hub.CutOffError, match="slow reader"):
            await slow.next()
        made.leave(slow)
        assert made.readers == 1

    reading(act)


def test_readers_and_their_subscriptions_are_bounded() -> None:
    async def act(made: hub.Hub) -> None:
        reader = hub.Reader()
        made.enter(reader)
        for number in range(protocol.MOST_SUBSCRIPTIONS):
            made.subscribe(reader, Series(f"S{number}", "1min"))
        made.subscribe(reader, Series("S1", "1min"))
        with pytest.raises(hub.CutOffError, match="subscriptions"):
            made.subscribe(reader, IBM)
        made.leave(reader)
        for _ in range(hub.MOST_READERS):
            made.enter(hub.Reader())
        with pytest.raises(hub.CutOffError, match="readers"):
            made.enter(hub.Reader())

    reading(act)


def test_a_reader_gets_what_he_wants_alone() -> None:
    async def act(made: hub.Hub) -> None:
        reader = hub.Reader()
        made.enter(reader)
        made.subscribe(reader, IBM)
        made.publish([*entries(1, Series("MSFT", "1min")), *entries(1, Series("IBM", "daily")), *entries(1)], [(0, 5)])
        assert (await reader.next()).series == IBM
        made.unsubscribe(reader, IBM)
        made.publish(entries(1), [])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.next(), 0.01)
        assert made.ring is not None
        assert made.ring.head(0) == 4

    reading(act)


# ---- comparison and health


def closes(*prices: str, first: int = 0) -> list[ShownBar]:
    return [shown_bar(first + place, price) for place, price in enumerate(prices)]


def test_symbols_are_compared_from_the_first_bar_that_all_have() -> None:
    lines = index.compared({"IBM": closes("10", "20", "30"), "MSFT": closes("400", "500", first=1), "NONE": []})
    found = {line.symbol: (line.base, [value for _, value in line.points]) for line in lines}
    assert found == {"IBM": ("20", ["100.0000", "150.0000"]), "MSFT": ("400", ["100.0000", "125.0000"])}


def test_symbols_that_never_traded_at_the_same_time_have_no_comparison() -> None:
    assert index.compared({"IBM": closes("10"), "MSFT": closes("10", first=5)}) == []
    assert index.compared({}) == []


WELL = Facts(
    Market(now=NOW, is_open=True, opens_at=START), NOW - timedelta(minutes=2), timedelta(minutes=1), [], [], [], []
)
COUNT = {"interval": "1min", "trading_date": NOW.date(), "expected": 9, "stored": 7, "pending": 0}


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({}, State.WELL, "Bars come"),
        ({"market": Market(now=NOW, is_open=False, opens_at=None), "newest": START}, State.WELL, "closed"),
        ({"newest": None}, State.ATTENTION, "No bar is stored yet"),
        ({"newest": NOW - timedelta(minutes=20)}, State.ATTENTION, "20 minutes ago"),
        ({"newest": NOW - timedelta(days=3), "step": timedelta(days=1)}, State.WELL, "Bars come"),
        ({"lag": [Lag(partition=0, next_offset=0, end=9000, records=9000)]}, State.ATTENTION, "9000 records"),
        ({"lag": [Lag(partition=0, next_offset=0, end=None, records=None)]}, State.WELL, "Bars come"),
        ({"completeness": [Completeness(**COUNT, missing=2)]}, State.ATTENTION, "2 bars are missing"),
        ({"findings": ["IBM has gone", "more"]}, State.ATTENTION, "IBM has gone"),
        ({"troubles": ["a", "b"], "newest": None}, State.DOWN, "a; b"),
    ],
)
def test_the_sentence_says_the_worst(changed: dict[str, Any], state: State, said: str) -> None:
    found, sentence = health.verdict(dataclasses.replace(WELL, **changed))
    assert found is state
    assert said in sentence


@pytest.mark.parametrize(
    ("shown", "told"), [(graph.Bar, ShownBar), (graph.Quote, Quote), (graph.Completeness, Completeness)]
)
def test_graphql_shows_what_rest_shows(shown: type, told: type) -> None:
    names = [[field.name for field in dataclasses.fields(each)] for each in (shown, told)]
    assert names[0] == names[1]


def test_graphql_shows_nothing_of_the_feed_that_rest_does_not() -> None:
    names = [{field.name for field in dataclasses.fields(each)} for each in (graph.Health, Health)]
    assert names[0] < names[1]
