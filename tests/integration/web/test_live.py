"""One chart without a hole: stored bars, bars on their way, revisions, kills and breaks of the network."""

import contextlib
import random
import uuid
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from integration import daemon_processes
from integration.services.web import Pipeline, Web, snapshot
from market_pulse.web.feed import home
from support.waiting import eventually


def test_what_is_stored_and_what_is_on_its_way_is_one_chart(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5)))
    pipeline.store()
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5, 8)))
    with page.live() as reader:
        assert snapshot(reader, "IBM", 8)["complete"]
        assert reader.minutes == list(range(8))
        pipeline.tell(pipeline.bar("IBM", 8), pipeline.bar("MSFT", 8))
        message = reader.next()
        assert (message["type"], message["symbol"]) == ("bar", "IBM")
        assert reader.minutes == list(range(9))
        assert message["bar"]["local_time"] == "2026-05-18T09:38:00"


def test_symbols_are_where_the_producer_puts_them(pipeline: Pipeline) -> None:
    pipeline.tell(*(pipeline.bar(symbol, 0) for symbol in ("IBM", "MSFT", "BRK.B", "A", "NVDA")))
    found = daemon_processes.records(pipeline.broker, pipeline.topic)
    assert [record.partition for record in found] == [home(record.key.decode(), 3) for record in found]


def test_a_forming_bar_becomes_final_and_a_late_telling_of_before_changes_nothing(
    pipeline: Pipeline, page: Web
) -> None:
    begun = pipeline.bar("IBM", 0)
    forming = pipeline.bar("IBM", 0, is_final=False, close=begun.open, fetched_at=begun.bar_time)
    pipeline.tell(forming)
    with page.live() as reader:
        (bar,) = snapshot(reader, "IBM", 1)["bars"]
        assert (bar["is_final"], bar["close"]) == (False, forming.close)
        final = pipeline.bar("IBM", 0)
        pipeline.tell(final, forming)
        reader.next()
        reader.next()
        (bar,) = reader.bars.values()
        assert (bar["is_final"], bar["close"]) == (True, final.close)
        pipeline.store()
        (bar,) = reader.subscribe("IBM")["bars"]
        assert (bar["is_final"], bar["close"]) == (True, final.close)


@pytest.mark.parametrize("is_stored", [False, True], ids=["what came is in Kafka", "what came is stored"])
def test_after_a_kill_a_reader_who_comes_back_has_no_hole(pipeline: Pipeline, page: Web, *, is_stored: bool) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3)))
    pipeline.store()
    with page.live() as reader:
        snapshot(reader, "IBM", 3)
        page.kill()
        with pytest.raises(ConnectionClosed):
            reader.next()
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3, 6)))
    if is_stored:
        pipeline.store()
    page.daemon.start()
    page.daemon.wait_until_ready()
    pipeline.tell(pipeline.bar("IBM", 6))
    with page.live() as again:
        again.bars, again.place = reader.bars, reader.place
        answer = again.subscribe("IBM", **reader.place)
        # What the database has by then, the ring begins after.
        assert answer["type"] == ("snapshot" if is_stored else "resumed")
        eventually(lambda: again.minutes == list(range(7)) or again.next(1), within=10, what="no bar is missing")
        assert again.minutes == list(range(7))


def test_a_break_of_the_network_alone_is_made_up_for_without_the_database(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3)))
    with page.live() as reader:
        snapshot(reader, "IBM", 3)
    pipeline.tell(*(pipeline.bar(symbol, minute) for minute in range(3, 6) for symbol in ("IBM", "MSFT")))
    with page.live() as again:
        again.bars = reader.bars

        def all_missed() -> bool:
            answer = again.subscribe("IBM", **reader.place)
            return answer["type"] == "resumed" and again.minutes == list(range(6))

        eventually(all_missed, within=10, what="what was missed is told")
        assert again.subscribe("IBM", stream=str(uuid.uuid4()), after=1)["type"] == "snapshot"


def test_kills_at_any_time_leave_no_hole(pipeline: Pipeline, page: Web) -> None:
    chance = random.Random(2026)  # noqa: S311 - repeatable, not secret
    bars: dict[str, dict[str, Any]] = {}
    place: dict[str, Any] = {}
    minute = 0
    for _ in range(4):
        with contextlib.suppress(ConnectionClosed), page.live() as reader:
            reader.bars, reader.place = bars, place
            reader.subscribe("IBM", **place)
            for _ in range(chance.randrange(1, 6)):
                pipeline.tell(pipeline.bar("IBM", minute))
                minute += 1
                if chance.random() < 0.4:
                    pipeline.store()
            page.kill()
            while True:
                reader.next()
        bars, place = reader.bars, reader.place
        for _ in range(chance.randrange(3)):
            pipeline.tell(pipeline.bar("IBM", minute))
            minute += 1
        if chance.random() < 0.5:
            pipeline.store()
        page.daemon.start()
        page.daemon.wait_until_ready()
    with page.live() as last:
        last.bars = bars
        last.subscribe("IBM", **place)
        eventually(lambda: len(last.minutes) >= minute or last.next(1), within=10, what="every bar is there")
        assert last.minutes == list(range(minute))
