"""The records of the topic: their fields, types and the reasons for which one is refused."""

import enum
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

VERSION = 1
MAX_MESSAGE_BYTES = 1024


class Interval(enum.StrEnum):
    """The length of a bar; the value is its name on the wire, in the database and in the vendor's API."""

    ONE_MINUTE = "1min"
    FIVE_MINUTES = "5min"
    FIFTEEN_MINUTES = "15min"
    THIRTY_MINUTES = "30min"
    SIXTY_MINUTES = "60min"
    DAILY = "daily"

    @property
    def length(self) -> timedelta:
        """How long a bar lasts; a daily bar counts as the whole calendar day."""
        return timedelta(days=1) if self is Interval.DAILY else timedelta(minutes=int(self.removesuffix("min")))


# Nothing in it can lead back to it, so that the garbage collector need not look.
class Bar(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One bar of one symbol as one vendor answer told it.

    Source: a vendor's time series. Shape: one JSON object of at most `MAX_MESSAGE_BYTES`. Units: prices in the
    instrument's currency, volume in shares, both as plain decimal text; times in UTC, `bar_time` the start of the bar.
    The same (symbol, interval, bar_time) told again with other values is a revision, and `fetched_at` orders revisions.
    """

    v: int
    source: str
    request_id: str
    symbol: str
    interval: str
    bar_time: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str
    is_final: bool
    fetched_at: datetime


class Cause(enum.StrEnum):
    """Why the vendor was asked; the value is stored and never renamed."""

    POLL = "poll"
    QUOTE = "quote"
    REPAIR = "repair"
    BACKFILL = "backfill"
    REPLAY = "replay"


class AnswerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one request to the vendor brought, with or without bars; `kind` tells it from a bar on the wire.

    Source: one request. Shape: one JSON object of at most `MAX_MESSAGE_BYTES`. Times in UTC. `request_id` is the one
    that its bars carry. `refusal` is None for an answer with data; `sha256` is that of the body as it is archived, None
    where there was no body. `rows` counts the bars in the answer, `told` those of them that were sent to the topic
    because they were new or revised, `unusable` those that no time could be given to. The answer speaks for all bars
    that begin at `covers_from` or later and before `covers_until`: one that it does not hold, the vendor does not have;
    both are None for an answer that speaks for none. `month` is the one that was asked for, ``YYYY-MM``, or None.
    """

    v: int
    kind: Literal["answer"] = "answer"
    source: str
    request_id: str
    cause: str
    function: str
    symbol: str
    interval: str
    month: str | None
    asked_at: datetime
    fetched_at: datetime
    refusal: str | None
    sha256: str | None
    rows: int
    told: int
    unusable: int
    covers_from: datetime | None
    covers_until: datetime | None


class Reason(enum.StrEnum):
    """Why a record is in quarantine instead of in `market.bar`; the value is stored and never renamed."""

    TOMBSTONE = "tombstone"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    UNKNOWN_VERSION = "unknown_version"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    KEY_MISMATCH = "key_mismatch"
    BAD_SYMBOL = "bad_symbol"
    BAD_INTERVAL = "bad_interval"
    BAD_PROVENANCE = "bad_provenance"
    BAD_TIME = "bad_time"
    FUTURE_BAR = "future_bar"
    FUTURE_TELLING = "future_telling"
    OVERTAKEN = "overtaken"
    BAD_PRICE = "bad_price"
    PRICE_NOT_POSITIVE = "price_not_positive"
    HIGH_BELOW_LOW = "high_below_low"
    OPEN_OUTSIDE_RANGE = "open_outside_range"
    CLOSE_OUTSIDE_RANGE = "close_outside_range"
    BAD_VOLUME = "bad_volume"
    BAD_ANSWER = "bad_answer"


class Rejection(NamedTuple):
    """A record that is not a bar: its reason code and a sentence that says what was wrong and what would be right."""

    reason: Reason
    detail: str
