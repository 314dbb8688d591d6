"""Reads Alpha Vantage's answers: bytes in, a series or a refusal out, and nothing else for any bytes.

An answer is data when it has the key under which data stand, whatever else it says; its wording is looked at only to
tell one refusal from another. Numbers are never converted: what is wrong with one is for the contract to say.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from market_pulse.contract import Interval
from market_pulse.sources.base import (
    LABELLED_BY_START_SINCE,
    DataType,
    Function,
    Refusal,
    RefusedError,
    Request,
    Row,
    Series,
)

VENDOR_ZONE = ZoneInfo("America/New_York")
_FIELDS = ("open", "high", "low", "close", "volume")
_QUOTE_NAMES = {"close": "price"}
_QUOTE_DAYS = ("latest trading day", "latestDay")
_NUMBERED = re.compile(r"^\d{1,2}\. ")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
# Longer than any price or volume; a bar on the wire has no room for more.
_MAX_FIELD = 40
_MAX_SENTENCE = 300
# In this order: the refusal of a burst also mentions the limit of the day.
_LIMITS = (
    ("per second", Refusal.BURST),
    ("per minute", Refusal.BURST),
    ("per day", Refusal.QUOTA),
    ("premium endpoint", Refusal.NOT_ENTITLED),
    ("premium feature", Refusal.NOT_ENTITLED),
    ("demo", Refusal.NOT_ENTITLED),
    ("api call volume", Refusal.BURST),
)
_WORDINGS = {
    "Error Message": (("apikey", Refusal.BAD_KEY), ("", Refusal.BAD_CALL)),
    "Information": _LIMITS,
    "Note": _LIMITS,
}


def parse(body: bytes, request: Request, fetched_at: datetime) -> Series:
    """Return the series that an answer holds.

    Raises:
        RefusedError: it holds none.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(f"the answer is not UTF-8: {error.reason} at byte {error.start}") from None
    if text.lstrip()[:1] in ("{", "["):
        return _parse_json(_load(text), request, fetched_at)
    if request.datatype is DataType.CSV:
        return _parse_csv(text, request, fetched_at)
    raise _broken(f"the answer is neither JSON nor the CSV that was asked for: {text[:60]!r}")


def _load(text: str) -> Any:
    try:
        return json.loads(
            text, parse_float=str, parse_int=str, parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except (ValueError, RecursionError) as error:
        raise _broken(f"the answer is not the strict JSON that was expected: {str(error)[:_MAX_SENTENCE]}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _parse_json(answer: Any, request: Request, fetched_at: datetime) -> Series:
    if not isinstance(answer, dict):
        raise _broken(f"the answer is a JSON {type(answer).__name__}, not an object")
    if request.function is Function.QUOTE:
        quotes = [value for key, value in answer.items() if re.match(r"Global Quote\b", key)]
        if len(quotes) == 1 and isinstance(quotes[0], dict):
            return _quote(_by_name(quotes[0]), request)
    else:
        name = "Daily" if request.interval is Interval.DAILY else request.interval.value
        series = answer.get(f"Time Series ({name})")
        if isinstance(series, dict):
            meta = answer.get("Meta Data")
            zone = _zone(_by_name(meta) if isinstance(meta, dict) else {}, request)
            rows = ((label, _by_name(values) if isinstance(values, dict) else {}) for label, values in series.items())
            return _series(rows, _placer(request, zone, fetched_at))
    raise _refusal(answer)


def _parse_csv(text: str, request: Request, fetched_at: datetime) -> Series:
    try:
        lines = list(csv.DictReader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise _broken(f"the answer is not CSV: {error}") from None
    header = text.splitlines()[0].split(",") if text else []
    if request.function is Function.QUOTE and {"symbol", "price", "latestDay"} <= set(header):
        return _quote(lines[0] if lines else {}, request)
    if request.function is Function.QUOTE or not {"timestamp", *_FIELDS} <= set(header):
        raise _broken(f"the answer is CSV with other columns than bars have: {text[:60]!r}")
    # CSV names no zone; by the vendor's documentation it is the exchange's.
    return _series(((line["timestamp"], line) for line in lines), _placer(request, VENDOR_ZONE, fetched_at))


def _zone(meta: Mapping[str, Any], request: Request) -> ZoneInfo:
    if meta.get("Symbol") != request.symbol:
        raise _broken(f"{request.symbol} was asked for and {_shown(meta.get('Symbol'))} was answered")
    name = meta.get("Time Zone")
    try:
        return ZoneInfo(name)  # type: ignore[arg-type]
    except (ZoneInfoNotFoundError, ValueError, TypeError, AttributeError, OSError):
        raise _broken(f"the answer's time zone {_shown(name)} is unknown") from None


def _series(rows: Iterable[tuple[str, Mapping[str, Any]]], place: Callable[[str], datetime]) -> Series:
    usable, unusable = [], []
    for label, values in rows:
        try:
            usable.append(Row(place(label), *(_text(values.get(name)) for name in _FIELDS)))
        except ValueError as error:
            unusable.append(f"bar {_shown(label)}: {error}")
    return Series(tuple(usable), tuple(unusable))


def _quote(values: Mapping[str, Any], request: Request) -> Series:
    if not values:
        raise RefusedError(Refusal.BAD_CALL, f"the vendor knows no {request.symbol}")
    if values.get("symbol") != request.symbol:
        raise _broken(f"{request.symbol} was asked for and {_shown(values.get('symbol'))} was answered")
    day = next((values[name] for name in _QUOTE_DAYS if name in values), "")
    renamed = {name: values.get(_QUOTE_NAMES.get(name, name)) for name in _FIELDS}
    return _series([(day, renamed)], lambda label: _instant(label, VENDOR_ZONE, daily=True))


def _placer(request: Request, zone: ZoneInfo, fetched_at: datetime) -> Callable[[str], datetime]:
    daily = request.interval is Interval.DAILY
    by_end = not daily and fetched_at < LABELLED_BY_START_SINCE
    shift = request.interval.length if by_end else timedelta(0)
    return lambda label: _instant(label, zone, daily=daily) - shift


def _instant(label: object, zone: ZoneInfo, *, daily: bool) -> datetime:
    """Return the UTC instant of a label in a zone; a day's is its midnight.

    Raises:
        ValueError: it is no time, or it comes twice or never in that zone.
    """
    if not isinstance(label, str) or not (_DATE if daily else _TIME).fullmatch(label):
        raise ValueError("its time is not written as a bar's time is")
    naive = datetime.combine(date.fromisoformat(label), datetime.min.time()) if daily else datetime.fromisoformat(label)
    earlier, later = (naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() != later.utcoffset():
        raise ValueError(f"on the night of a clock change this time comes twice or never in {zone.key}")
    try:
        return earlier.astimezone(UTC)
    except OverflowError:
        raise ValueError("its time lies outside the calendar") from None


def _text(value: Any) -> str:
    """Return a number's text as it was told; what is no text at all becomes empty, which the contract refuses."""
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_FIELD or not value.isascii() or not value.isprintable():
        raise ValueError(f"{_shown(value)} is no number")
    return value


def _by_name(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return members without the vendor's numbering, "1. open" as "open"."""
    return {_NUMBERED.sub("", key): value for key, value in members.items()}


def _refusal(answer: Mapping[str, Any]) -> RefusedError:
    for key, classes in _WORDINGS.items():
        sentence = answer.get(key)
        if isinstance(sentence, str):
            words = sentence.lower()
            refusal = next((refusal for hint, refusal in classes if hint in words), Refusal.VENDOR_ERROR)
            return RefusedError(refusal, sentence[:_MAX_SENTENCE])
    return _broken(f"the answer has no data; its keys are {', '.join(_shown(key) for key in list(answer)[:5])}")


def _broken(sentence: str) -> RefusedError:
    return RefusedError(Refusal.VENDOR_ERROR, sentence)


def _shown(value: object) -> str:
    return repr(value)[:_MAX_FIELD]
