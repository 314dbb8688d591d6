"""Made-up answers for the intake, and what it makes of them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from market_pulse import contract
from market_pulse.contract import AnswerRecord, Bar, Interval
from market_pulse.producer.archive import Archive
from market_pulse.producer.bars import BarMaker
from market_pulse.producer.intake import Intake
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.schedule import Slots
from market_pulse.producer.store import Store
from market_pulse.sessions import Sessions
from market_pulse.sources.answers import parse
from market_pulse.sources.base import Answer, Cadence, DataType, Function, Offer, Request

SESSIONS = Sessions.load("XNYS", date(2024, 1, 2))
NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
SETTLE = timedelta(seconds=5)
# A Monday in the middle of the session.
NOW = datetime(2026, 1, 5, 16, 0, 6, tzinfo=UTC)
IBM = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE, DataType.CSV)
DAILY = Request(Function.DAILY, "IBM", Interval.DAILY, DataType.CSV)
QUOTE = Request(Function.QUOTE, "IBM", Interval.DAILY, DataType.CSV)
DECEMBER = replace(IBM, full=True, month="2025-12")


def at(wall_time: str) -> datetime:
    """Return the instant of a time on the exchange's wall."""
    return datetime.fromisoformat(wall_time).replace(tzinfo=NEW_YORK).astimezone(UTC)


def answer(request: Request, asked_at: datetime, labels: Iterable[str], close: str = "2", name: str = "r") -> Answer:
    """Return an answer in CSV that came a second after it was asked for."""
    rows = "".join(f"{label},1,2,1,{close},7\r\n" for label in labels)
    body = ("timestamp,open,high,low,close,volume\r\n" + rows).encode()
    if request.function is Function.QUOTE:
        (day,) = labels
        body = f"symbol,open,high,low,price,volume,latestDay\r\nIBM,1,2,1,{close},7,{day}\r\n".encode()
    fetched_at = asked_at + timedelta(seconds=1)
    return Answer(request, name, asked_at, fetched_at, parse(body, request, fetched_at), body)


def minutes(count: int, newest: datetime = NOW) -> list[str]:
    """Return the labels of consecutive minutes, newest first."""
    start = newest.astimezone(NEW_YORK).replace(second=0, microsecond=0, tzinfo=None)
    return [f"{start - n * MINUTE}" for n in range(count)]


def intake_in(directory: Path, lag: timedelta = timedelta(0), request: Request = IBM) -> Intake:
    """Return the intake of a process that starts with what is in a directory."""
    cadence = Cadence.AFTER_CLOSE if request.interval is Interval.DAILY else Cadence.EVERY_BAR
    slots = Slots(SESSIONS, Offer((request,), cadence, lag), SETTLE, extended=True)
    outbox = Outbox(Store(directory / "producer.sqlite3"), 10_000)
    return Intake(Archive(directory / "archive", 400), outbox, BarMaker("simulator", SESSIONS, SETTLE, lag), slots)


def told(intake: Intake) -> list[Bar | AnswerRecord]:
    """Return what waits in the outbox, and let it go."""
    waiting = intake.outbox.oldest(100_000)
    intake.outbox.remove([message.id for message in waiting])
    found = [contract.decode(message.symbol.encode(), message.value) for message in waiting]
    assert not [thing for thing in found if isinstance(thing, contract.Rejection)]
    return found  # type: ignore[return-value] - just asserted


def bars(intake: Intake) -> list[Bar]:
    """Return the bars that wait in the outbox, and let everything go."""
    return [thing for thing in told(intake) if isinstance(thing, Bar)]
