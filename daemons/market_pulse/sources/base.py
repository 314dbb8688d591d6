"""What every source of bars has in common: what it is asked, what it answers, and how it refuses."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from market_pulse.contract import Interval
from market_pulse.errors import VendorError

# How many of the newest bars a short answer holds.
SHORT_ANSWER_ROWS = 100
# Answers recorded until 2021 label an intraday bar by its end, those since 2023 by its start.
LABELLED_BY_START_SINCE = datetime(2022, 1, 1, tzinfo=UTC)


class Function(enum.StrEnum):
    """What is asked for; the value is its name in Alpha Vantage's API and in recordings."""

    INTRADAY = "TIME_SERIES_INTRADAY"
    DAILY = "TIME_SERIES_DAILY"
    QUOTE = "GLOBAL_QUOTE"


class DataType(enum.StrEnum):
    """The form of an answer."""

    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class Request:
    """One question. `full` asks for the long answer, about a month, instead of the newest `SHORT_ANSWER_ROWS` bars.

    `month`, written ``YYYY-MM``, asks for that month of the exchange's time alone; empty for the newest bars.
    `recording` is the name of the recorded answer, for a source that plays some.
    """

    function: Function
    symbol: str
    interval: Interval
    datatype: DataType = DataType.JSON
    full: bool = False
    month: str = ""
    recording: str = ""


def month_span(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first instant of a month, written as in `Request`, and that of the next one, in UTC."""
    first = datetime.strptime(month, "%Y-%m").replace(tzinfo=zone)
    following = (first + timedelta(days=31)).replace(day=1)
    return first.astimezone(UTC), following.astimezone(UTC)


class Row(NamedTuple):
    """One bar as the vendor told it: start in UTC, everything else as text, exactly as it stood there."""

    bar_time: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str


@dataclass(frozen=True)
class Series:
    """What an answer's body says: its rows, and a sentence for each row that is not told.

    The latter could not be placed in time, or hold what has no place on the wire, or say two things about one bar.
    """

    rows: Sequence[Row]
    unusable: Sequence[str] = ()


@dataclass(frozen=True)
class Answer:
    """One answer with data. Both instants are market time: when it was asked for, and when it had arrived.

    `body` is what arrived, without the key.
    """

    request: Request
    request_id: str
    asked_at: datetime
    fetched_at: datetime
    series: Series
    body: bytes = b""


class Refusal(enum.StrEnum):
    """Why an answer holds no data, by what there is to do about it."""

    QUOTA = "quota"  # nothing until the vendor's next day
    BURST = "burst"  # the same again, a little later
    NOT_ENTITLED = "not_entitled"  # the plan in the inventory is not the key's
    BAD_KEY = "bad_key"  # the key in the vault is wrong
    BAD_CALL = "bad_call"  # this symbol or parameter is unknown; others may be fine
    VENDOR_ERROR = "vendor_error"  # the vendor, or the way to it, is broken
    INVENTED = "invented"  # what looks like data is a sample of the vendor's own making


class RefusedError(VendorError):
    """The vendor's answer holds no data; the message is a sentence without the key.

    `body` is what arrived, without the key; empty where nothing did. `is_answer` is False where no answer came or none
    to the question, because the network or the vendor's server failed. `asked_at` is market time, None where the
    source does not tell it.
    """

    def __init__(
        self,
        refusal: Refusal,
        sentence: str,
        body: bytes = b"",
        *,
        is_answer: bool = True,
        asked_at: datetime | None = None,
    ) -> None:
        """Keep the class of the refusal beside the sentence."""
        super().__init__(sentence)
        self.refusal = refusal
        self.body = body
        self.is_answer = is_answer
        self.asked_at = asked_at


@dataclass(frozen=True)
class Limits:
    """How often a source may be asked; None is no limit. Times are market time."""

    per_day: int | None = None
    per_minute: int | None = None
    gap: timedelta = timedelta(0)


class Cadence(enum.Enum):
    """When a source's questions are worth asking."""

    EVERY_BAR = enum.auto()
    AFTER_CLOSE = enum.auto()
    ONCE = enum.auto()


@dataclass(frozen=True)
class Offer:
    """What a source serves under its plan: which questions, when, and by how much its data lag behind the market.

    `long_answers` tells whether a request may be sent with `full`.
    """

    requests: Sequence[Request]
    cadence: Cadence
    lag: timedelta = timedelta(0)
    long_answers: bool = True


class Source(Protocol):
    """A source of bars."""

    @property
    def name(self) -> str:
        """Return the name that every bar of this source carries."""

    def limits(self) -> Limits:
        """Return how often it may be asked."""

    def offer(self, symbols: Sequence[str], interval: Interval) -> Offer:
        """Return what it serves of these symbols; the plan may allow another interval only."""

    def fetch(self, request: Request) -> Answer:
        """Ask once.

        Raises:
            RefusedError: there is no data in the answer, or no answer.
        """
