"""The bar on the wire: its fields, their types, and the rules every bar obeys.

Both sides of the topic use this module and no other: the producer to encode, the consumer to decode.
Prices and volumes are text from the vendor's answer to PostgreSQL's ``numeric`` and are never a float; times are
aware UTC. A record that breaks a rule becomes a `Rejection` with a stable reason code, never an exception.
"""

import enum
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

VERSION = 1
MAX_MESSAGE_BYTES = 1024

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,14}")
_TOKEN = re.compile(r"[A-Za-z0-9:._\-]{1,64}")
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?")
_VOLUME = re.compile(r"[0-9]{1,19}")
_MAX_VOLUME = 2**63 - 1
_FIRST_YEAR = 1970


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


class Bar(msgspec.Struct, frozen=True, kw_only=True):
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
    BAD_PRICE = "bad_price"
    PRICE_NOT_POSITIVE = "price_not_positive"
    HIGH_BELOW_LOW = "high_below_low"
    OPEN_OUTSIDE_RANGE = "open_outside_range"
    CLOSE_OUTSIDE_RANGE = "close_outside_range"
    BAD_VOLUME = "bad_volume"


class Rejection(NamedTuple):
    """A record that is not a bar: its reason code and a sentence that says what was wrong and what would be right."""

    reason: Reason
    detail: str


_INTERVALS = frozenset(interval.value for interval in Interval)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bar)


def encode(bar: Bar) -> bytes:
    """Return the wire form of a bar."""
    return _encoder.encode(bar)


def decode(key: bytes | None, value: bytes | None) -> Bar | Rejection:
    """Return the bar that a Kafka record holds, or why it holds none. Never raises for any bytes."""
    if value is None:
        return Rejection(Reason.TOMBSTONE, "the record has no value; a bar is never deleted")
    if len(value) > MAX_MESSAGE_BYTES:
        return Rejection(Reason.TOO_LARGE, f"{len(value)} bytes; a bar has at most {MAX_MESSAGE_BYTES}")
    try:
        # As text, for msgspec looks at the letters of a string only when it needs them.
        bar = _decoder.decode(value.decode())
    except msgspec.ValidationError as error:
        return _shape_rejection(value, str(error))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        return Rejection(Reason.NOT_JSON, str(error))
    if key is None or key != bar.symbol.encode():
        return Rejection(Reason.KEY_MISMATCH, f"the record's key is {key!r}, the bar's symbol is {bar.symbol!r}")
    return first_violation(bar) or bar


def first_violation(bar: Bar) -> Rejection | None:
    """Return the first rule that a bar breaks, or None for a bar that may be stored."""
    return next(_violations(bar), None)


def _shape_rejection(value: bytes, message: str) -> Rejection:
    try:
        found = msgspec.json.decode(value, type=dict[str, msgspec.Raw]).get("v", msgspec.Raw(b"absent"))
    except (msgspec.MsgspecError, RecursionError):
        return Rejection(Reason.WRONG_TYPE, message)
    version = bytes(found)
    if version not in (b"absent", str(VERSION).encode()):
        return Rejection(Reason.UNKNOWN_VERSION, f"version {version.decode()[:20]}; this release reads {VERSION}")
    missing = "missing required field" in message
    return Rejection(Reason.MISSING_FIELD if missing else Reason.WRONG_TYPE, message)


def _violations(bar: Bar) -> Iterator[Rejection]:
    if bar.v != VERSION:
        yield Rejection(Reason.UNKNOWN_VERSION, f"version {bar.v}; this release reads {VERSION}")
    if not SYMBOL.fullmatch(bar.symbol):
        yield Rejection(Reason.BAD_SYMBOL, f"symbol {bar.symbol[:32]!r}; allowed is {SYMBOL.pattern}")
    if bar.interval not in _INTERVALS:
        yield Rejection(Reason.BAD_INTERVAL, f"interval {bar.interval[:32]!r}; known are {', '.join(Interval)}")
    for name in ("source", "request_id"):
        if not _TOKEN.fullmatch(getattr(bar, name)):
            yield Rejection(Reason.BAD_PROVENANCE, f"{name} {getattr(bar, name)[:32]!r}; allowed is {_TOKEN.pattern}")
    yield from _time_violations(bar)
    yield from _price_violations(bar)
    if not _VOLUME.fullmatch(bar.volume) or int(bar.volume) > _MAX_VOLUME:
        yield Rejection(Reason.BAD_VOLUME, f"volume {bar.volume[:32]!r}; a whole number from 0 to {_MAX_VOLUME}")


def _time_violations(bar: Bar) -> Iterator[Rejection]:
    for name in ("bar_time", "fetched_at"):
        moment: datetime = getattr(bar, name)
        if moment.tzinfo is None:
            yield Rejection(Reason.BAD_TIME, f"{name} {moment} has no UTC offset; write it with Z")
            return
        if moment.utcoffset():
            # PostgreSQL knows offsets below 16 hours only.
            yield Rejection(Reason.BAD_TIME, f"{name} {moment} is not in UTC; write it in UTC with Z")
            return
        if moment.year < _FIRST_YEAR:
            yield Rejection(Reason.BAD_TIME, f"{name} {moment} lies before {_FIRST_YEAR}")
    if bar.bar_time > bar.fetched_at:
        yield Rejection(Reason.FUTURE_BAR, f"bar_time {bar.bar_time} is later than fetched_at {bar.fetched_at}")


def _price_violations(bar: Bar) -> Iterator[Rejection]:
    for name in ("open", "high", "low", "close"):
        text = getattr(bar, name)
        if not _PRICE.fullmatch(text):
            yield Rejection(Reason.BAD_PRICE, f"{name} {text[:32]!r}; a plain decimal such as 218.0951")
            return
        if Decimal(text) <= 0:
            yield Rejection(Reason.PRICE_NOT_POSITIVE, f"{name} is {text}; a price is above zero")
            return
    opened, high, low, close = (Decimal(text) for text in (bar.open, bar.high, bar.low, bar.close))
    if high < low:
        yield Rejection(Reason.HIGH_BELOW_LOW, f"high {high} is below low {low}")
    if not low <= opened <= high:
        yield Rejection(Reason.OPEN_OUTSIDE_RANGE, f"open {opened} is outside {low}..{high}")
    if not low <= close <= high:
        yield Rejection(Reason.CLOSE_OUTSIDE_RANGE, f"close {close} is outside {low}..{high}")
