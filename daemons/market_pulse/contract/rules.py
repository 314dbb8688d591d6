"""What must hold of a record whose shape is right; pure."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from market_pulse.contract.records import VERSION, AnswerRecord, Bar, Interval, Reason, Rejection

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,14}")
_TOKEN = re.compile(r"[A-Za-z0-9:._\-]{1,64}")
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,8})?")
_PRICES = ("open", "high", "low", "close")
_VOLUME = re.compile(r"[0-9]{1,19}")
_MAX_VOLUME = 2**63 - 1
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_COUNT = 2**31 - 1
# An epoch of zero, and seconds that were taken for milliseconds, come out as a day of 1970.
FIRST_YEAR = 1971
# Two hosts' clocks differ, by less than the shortest bar; what was told later than that is not believed.
CLOCK_SKEW = timedelta(minutes=1)
# The vendor's clock and the one of the host that asks it.
VENDOR_SKEW = timedelta(seconds=5)
_INTERVALS = frozenset(interval.value for interval in Interval)
# What the texts of a bar have to match; none of these matches a space.
BAR_WORDS = {
    "symbol": SYMBOL,
    "source": _TOKEN,
    "request_id": _TOKEN,
    **dict.fromkeys(_PRICES, _PRICE),
    "volume": _VOLUME,
}


def first_violation(record: Bar | AnswerRecord, replayed_at: datetime | None = None) -> Rejection | None:
    """Return the first rule that a bar or an answer's record breaks, or None for one that may be stored.

    A bar is told after it has begun. Of one that is judged again, at `replayed_at`, it is enough that it has begun now.
    """
    if not isinstance(record, Bar):
        return next(_answer_violations(record), None)
    return (
        _common_violation(record, ("source", "request_id"))
        or _time_violation(record, ("bar_time", "fetched_at"))
        or _future_violation(record, replayed_at)
        or _price_violation(record)
        or _volume_violation(record)
    )


def told_too_early(record: Bar | AnswerRecord, at: datetime) -> Rejection | None:
    """Return what is wrong with a record that was told later than `at`, when it came or is judged again, or None.

    The newest telling of a bar stands, so that one from the future would stand against every later one.
    """
    if record.fetched_at - at <= CLOCK_SKEW:
        return None
    detail = f"fetched_at {record.fetched_at} is later than {at}, when the record came onto the topic or was replayed"
    return Rejection(Reason.FUTURE_TELLING, detail)


def _answer_violations(answer: AnswerRecord) -> Iterator[Rejection]:
    tokens = ("source", "request_id", "cause", "function", *(["refusal"] if answer.refusal is not None else []))
    if found := _common_violation(answer, tokens):
        yield found
    covered = [moment for moment in (answer.covers_from, answer.covers_until) if moment is not None]
    if len(covered) == 1:
        yield Rejection(Reason.BAD_ANSWER, "covers_from and covers_until stand together or not at all")
        return
    times = ("asked_at", "fetched_at", "covers_from", "covers_until")
    if found := _time_violation(answer, times if covered else times[:2]):
        yield found
    if covered != sorted(covered):
        yield Rejection(Reason.BAD_ANSWER, f"covers_until {covered[1]} is before covers_from {covered[0]}")
    if answer.month is not None and not _MONTH.fullmatch(answer.month):
        yield Rejection(Reason.BAD_ANSWER, f"month {answer.month[:32]!r}; written as 2026-05")
    if answer.sha256 is not None and not _SHA256.fullmatch(answer.sha256):
        yield Rejection(Reason.BAD_ANSWER, f"sha256 {answer.sha256[:32]!r}; 64 hexadecimal digits")
    for name in ("rows", "told", "unusable"):
        if not 0 <= getattr(answer, name) <= _MAX_COUNT:
            yield Rejection(Reason.BAD_ANSWER, f"{name} is {getattr(answer, name)}; a count from 0 to {_MAX_COUNT}")


def _common_violation(record: Bar | AnswerRecord, tokens: Iterable[str]) -> Rejection | None:
    if record.v != VERSION:
        return Rejection(Reason.UNKNOWN_VERSION, f"version {record.v}; this release reads {VERSION}")
    if not SYMBOL.fullmatch(record.symbol):
        return Rejection(Reason.BAD_SYMBOL, f"symbol {record.symbol[:32]!r}; allowed is {SYMBOL.pattern}")
    if record.interval not in _INTERVALS:
        return Rejection(Reason.BAD_INTERVAL, f"interval {record.interval[:32]!r}; known are {', '.join(Interval)}")
    for name in tokens:
        token = getattr(record, name)
        if not _TOKEN.fullmatch(token):
            return Rejection(Reason.BAD_PROVENANCE, f"{name} {token[:32]!r}; allowed is {_TOKEN.pattern}")
    return None


def _time_violation(record: Bar | AnswerRecord, names: Iterable[str]) -> Rejection | None:
    for name in names:
        moment: datetime = getattr(record, name)
        if moment.tzinfo is None:
            return Rejection(Reason.BAD_TIME, f"{name} {moment} has no UTC offset; write it with Z")
        if moment.tzinfo is not UTC and moment.utcoffset():
            # PostgreSQL knows offsets below 16 hours only.
            return Rejection(Reason.BAD_TIME, f"{name} {moment} is not in UTC; write it in UTC with Z")
        if moment.year < FIRST_YEAR:
            return Rejection(Reason.BAD_TIME, f"{name} {moment} lies before {FIRST_YEAR}")
    return None


def _future_violation(bar: Bar, replayed_at: datetime | None) -> Rejection | None:
    known_at = bar.fetched_at if replayed_at is None else max(bar.fetched_at, replayed_at)
    if bar.bar_time - known_at > VENDOR_SKEW:
        return Rejection(Reason.FUTURE_BAR, f"bar_time {bar.bar_time} is later than {known_at}, when it was told")
    return None


def _price_violation(bar: Bar) -> Rejection | None:
    for name in _PRICES:
        text = getattr(bar, name)
        if not _PRICE.fullmatch(text):
            return Rejection(Reason.BAD_PRICE, f"{name} {text[:32]!r}; a plain decimal such as 218.0951")
        if not text.strip("0."):
            return Rejection(Reason.PRICE_NOT_POSITIVE, f"{name} is {text}; a price is above zero")
    opened, high, low, close = Decimal(bar.open), Decimal(bar.high), Decimal(bar.low), Decimal(bar.close)
    if high < low:
        return Rejection(Reason.HIGH_BELOW_LOW, f"high {high} is below low {low}")
    if not low <= opened <= high:
        return Rejection(Reason.OPEN_OUTSIDE_RANGE, f"open {opened} is outside {low}..{high}")
    if not low <= close <= high:
        return Rejection(Reason.CLOSE_OUTSIDE_RANGE, f"close {close} is outside {low}..{high}")
    return None


def _volume_violation(bar: Bar) -> Rejection | None:
    if not _VOLUME.fullmatch(bar.volume) or int(bar.volume) > _MAX_VOLUME:
        return Rejection(Reason.BAD_VOLUME, f"volume {bar.volume[:32]!r}; a whole number from 0 to {_MAX_VOLUME}")
    return None
