"""The table of pieces: merged, ordered, and still there after the file was opened anew."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from market_pulse.contract import Cause, Interval
from market_pulse.producer import orders
from market_pulse.producer.backlog import Backlog, State, Wanted
from market_pulse.producer.span import Part
from market_pulse.producer.store import Store
from market_pulse.sessions import Sessions
from market_pulse.sources.base import Cadence, Function, Offer, Request

NOW = datetime(2026, 1, 5, 17, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2025, 12, 1, 5, tzinfo=UTC)


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    return Backlog(Store(tmp_path / "producer.sqlite3"))


def _part(first: int, last: int, symbol: str = "IBM", month: str = "2025-12") -> Part:
    return Part(symbol, Interval.ONE_MINUTE, month, START + first * DAY, START + last * DAY)


def _wanted(part: Part, cause: Cause = Cause.REPAIR, now: datetime = NOW) -> Wanted:
    return Wanted.at_once(part, cause, now)


def _open(backlog: Backlog) -> list[Part]:
    return [piece.part for piece in backlog.open_pieces()]


def test_what_overlaps_within_a_month_becomes_one_piece(backlog: Backlog) -> None:
    for part in (_part(0, 3), _part(10, 12), _part(2, 5), _part(5, 6)):
        backlog.open(_wanted(part))
    assert _open(backlog) == [_part(10, 12), _part(0, 6)]
    backlog.open(_wanted(_part(4, 11)))
    assert _open(backlog) == [_part(0, 12)]


def test_symbols_and_months_stay_apart(backlog: Backlog) -> None:
    parts = [_part(0, 3), _part(0, 3, symbol="MSFT"), _part(0, 3, month="2026-01")]
    for part in parts:
        backlog.open(_wanted(part))
    assert _open(backlog) == parts


def test_what_is_merged_keeps_the_stricter_terms(backlog: Backlog) -> None:
    backlog.open(_wanted(_part(0, 3), now=NOW - HOUR))
    late = Wanted(
        part=_part(2, 5),
        cause=Cause.REPAIR,
        opened_at=NOW,
        asked_since=NOW + HOUR,
        not_before=NOW + HOUR,
        chances=3,
    )
    backlog.open(late)
    (piece,) = backlog.open_pieces()
    assert (piece.cause, piece.chances, piece.opened_at) == (Cause.REPAIR, 3, NOW - HOUR)
    assert (piece.asked_since, piece.not_before) == (NOW + HOUR, NOW - HOUR)


def test_an_order_and_a_repair_stay_apart(backlog: Backlog) -> None:
    backlog.open(_wanted(_part(0, 3)))
    backlog.open(_wanted(_part(2, 5), Cause.BACKFILL))
    assert _open(backlog) == [_part(0, 3), _part(2, 5)]
    assert backlog.holding(_part(2, 3), Cause.REPAIR) == backlog.open_pieces()[0]
    assert backlog.holding(_part(2, 3), Cause.BACKFILL) == backlog.open_pieces()[1]


def test_repairs_go_before_backfill_and_the_oldest_first(backlog: Backlog, tmp_path: Path) -> None:
    backlog.open(_wanted(_part(0, 1), Cause.BACKFILL, NOW - DAY))
    backlog.open(_wanted(_part(2, 3), now=NOW))
    backlog.open(_wanted(_part(4, 5), now=NOW - HOUR))
    again = Backlog(Store(tmp_path / "producer.sqlite3"))
    seen = []
    while piece := again.next(NOW):
        seen.append(piece.part)
        again.finish(piece, "id", 7)
    assert seen == [_part(4, 5), _part(2, 3), _part(0, 1)]
    assert again.next_at() is None


def test_a_piece_waits_and_says_until_when(backlog: Backlog) -> None:
    backlog.open(replace(_wanted(_part(0, 1)), chances=3))
    (piece,) = backlog.open_pieces()
    backlog.postpone(piece, NOW + HOUR, is_denied=False)
    assert backlog.next(NOW) is None
    assert backlog.next_at() == NOW + HOUR
    again = backlog.next(NOW + HOUR)
    assert again is not None
    assert (again.attempts, again.denied, again.asked_since) == (1, 0, piece.asked_since)
    backlog.ask_anew(again, NOW + 2 * HOUR, 7)
    (last,) = backlog.open_pieces()
    assert last.told == 7
    assert (last.not_before, last.asked_since, last.chances) == (NOW + 2 * HOUR, NOW + 2 * HOUR, 2)


def test_the_waiting_are_counted_by_cause(backlog: Backlog) -> None:
    backlog.open(_wanted(_part(0, 1), now=NOW - HOUR))
    backlog.open(_wanted(_part(4, 5)))
    backlog.refuse(_wanted(_part(7, 8), Cause.BACKFILL), "no")
    assert backlog.waiting() == {Cause.REPAIR: (2, NOW - HOUR)}


SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
OFFER = Offer((Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE),), Cadence.EVERY_BAR)
ORDER = orders.parts("IBM", (date(2025, 10, 1), date(2025, 12, 31)), OFFER, SESSIONS, NOW)


def _states(backlog: Backlog) -> list[State | None]:
    return [piece and piece.state for piece in orders.standing(backlog, ORDER)]


def test_the_same_order_again_orders_nothing_twice(backlog: Backlog) -> None:
    orders.place(backlog, ORDER, NOW)
    orders.place(backlog, ORDER, NOW + HOUR)
    assert len(backlog.open_pieces()) == 3
    piece = backlog.next(NOW)
    assert piece is not None
    backlog.finish(piece, "id", 5)
    orders.place(backlog, ORDER, NOW + HOUR)
    assert _states(backlog) == [State.DONE, State.OPEN, State.OPEN]
    # A part of it, too.
    orders.place(backlog, orders.parts("IBM", (date(2025, 10, 6), date(2025, 10, 8)), OFFER, SESSIONS, NOW), NOW)
    assert len(backlog.open_pieces()) == 2


def test_what_was_given_up_is_tried_again_only_when_the_order_is_over(backlog: Backlog) -> None:
    orders.place(backlog, ORDER, NOW)
    first, *others = backlog.open_pieces()
    backlog.give_up(first, "not served")
    orders.place(backlog, ORDER, NOW)
    assert _states(backlog) == [State.GIVEN_UP, State.OPEN, State.OPEN]
    for piece in others:
        backlog.finish(piece, "id", 5)
    orders.place(backlog, ORDER, NOW)
    assert _states(backlog) == [State.OPEN, State.DONE, State.DONE]
