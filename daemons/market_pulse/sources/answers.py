"""Reads Alpha Vantage's answers: bytes in, a series or a refusal out, and nothing else for any bytes.

An answer is data when it has the key under which data stand, whatever else it says; its wording is looked at only to
tell one refusal from another, and to find out that what looks like data was invented. Numbers are never converted: what
is wrong with one is for the contract to say.
"""

import csv
import json
import math
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
    month_span,
)
from market_pulse.sources.refusals import broken, refusal, refuse_invented, shown

VENDOR_ZONE = ZoneInfo("America/New_York")
# Other names would be this host's own zone, or count leap seconds.
_ZONE_NAME = re.compile(r"(?!Factory$)[A-Z][A-Za-z0-9+\-]*(/[A-Za-z0-9_+\-]+)*")
_DAYS_OF_THE_EXCHANGE = ("US/Eastern", VENDOR_ZONE.key)
_FIELDS = ("open", "high", "low", "close", "volume")
_QUOTE_NAMES = {"close": "price"}
_QUOTE_DAYS = ("latest trading day", "latestDay")
# Under this name stands what a line of CSV has beyond its columns.
_BEYOND = "beyond the columns"
_NUMBERED = re.compile(r"^\d{1,2}\. ")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d ([01]\d|2[0-3]):[0-5]\d:[0-5]\d", re.ASCII)
# Longer than any price or volume; a bar on the wire has no room for more.
_MAX_FIELD = 40


def parse(body: bytes, request: Request, fetched_at: datetime) -> Series:
    """Return the series that an answer holds.

    Raises:
        RefusedError: it holds none.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise broken(f"the answer is not UTF-8: {error.reason} at byte {error.start}") from None
    refuse_invented(text)
    if text.lstrip()[:1] in ("{", "["):
        series = _parse_json(_load(text), request, fetched_at)
    elif request.datatype is DataType.CSV:
        series = _parse_csv(text, request, fetched_at)
    else:
        raise broken(f"the answer is neither JSON nor the CSV that was asked for: {text[:60]!r}")
    _refuse_other_months(series, request)
    if series.unusable and not series.rows:
        raise broken(f"none of the answer's {len(series.unusable)} bars can be used; the first: {series.unusable[0]}")
    return series


def _load(text: str) -> Any:
    try:
        return json.loads(
            text, parse_float=_number, parse_int=_number, parse_constant=_no_constant, object_pairs_hook=_no_duplicates
        )
    except (ValueError, RecursionError) as error:
        raise broken(f"the answer is not the strict JSON that was expected: {error}") from None


def _number(text: str) -> str:
    if len(text) > _MAX_FIELD or math.isinf(float(text)):
        raise ValueError(f"{text[:_MAX_FIELD]} is no number of a market")
    return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _parse_json(answer: Any, request: Request, fetched_at: datetime) -> Series:
    if not isinstance(answer, dict):
        raise broken(f"the answer is a JSON {type(answer).__name__}, not an object")
    try:
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
                return _series(series.items(), _placer(request, zone, fetched_at))
    except ValueError as error:
        raise broken(f"the answer contradicts itself: {error}") from None
    raise refusal(answer)


def _parse_csv(text: str, request: Request, fetched_at: datetime) -> Series:
    if text and not text.endswith("\n"):
        # JSON has its closing brace; without a last line's end, a volume of 158 could have been one of 15800.
        raise broken("the answer is CSV that ends in the middle of a line")
    try:
        reader = csv.DictReader(text.splitlines(), strict=True, restkey=_BEYOND)
        header, lines = reader.fieldnames or (), list(reader)
    except csv.Error as error:
        raise broken(f"the answer is not CSV: {error}") from None
    if len(set(header)) < len(header):
        raise broken(f"the answer is CSV with a column that stands there twice: {text[:60]!r}")
    if request.function is Function.QUOTE and {"symbol", "price", "latestDay"} <= set(header):
        return _quote(lines[0] if lines else {}, request)
    if request.function is Function.QUOTE or not {"timestamp", *_FIELDS} <= set(header):
        raise broken(f"the answer is CSV with other columns than bars have: {text[:60]!r}")
    # CSV names no zone; by the vendor's documentation it is the exchange's.
    return _series(((line["timestamp"], line) for line in lines), _placer(request, VENDOR_ZONE, fetched_at))


def _zone(meta: Mapping[str, Any], request: Request) -> ZoneInfo:
    if meta.get("Symbol") != request.symbol:
        raise broken(f"{request.symbol} was asked for and {shown(meta.get('Symbol'))} was answered")
    name = meta.get("Time Zone")
    if not isinstance(name, str) or not _ZONE_NAME.fullmatch(name):
        raise broken(f"the answer's time zone {shown(name)} is unknown")
    if request.interval is Interval.DAILY and name not in _DAYS_OF_THE_EXCHANGE:
        raise broken(f"the answer's days are those of {shown(name)}, not of the exchange, which is in {VENDOR_ZONE}")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise broken(f"the answer's time zone {shown(name)} is unknown") from None


def _series(bars: Iterable[tuple[str, Any]], place: Callable[[str], datetime]) -> Series:
    rows: dict[datetime, Row] = {}
    unusable: list[str] = []
    contradicted: set[datetime] = set()
    for label, values in bars:
        try:
            told = _by_name(values) if isinstance(values, dict) else {}
            row = Row(place(label), *(_text(told.get(name)) for name in _FIELDS))
        except ValueError as error:
            unusable.append(f"bar {shown(label)}: {error}")
            continue
        if rows.setdefault(row.bar_time, row) != row:
            contradicted.add(row.bar_time)
    unusable += [f"bar {moment:%Y-%m-%dT%H:%MZ}: it is told twice, differently" for moment in sorted(contradicted)]
    return Series(tuple(row for moment, row in rows.items() if moment not in contradicted), tuple(unusable))


def _quote(values: Mapping[str, Any], request: Request) -> Series:
    if not values:
        raise RefusedError(Refusal.BAD_CALL, f"the vendor knows no {request.symbol}")
    if values.get("symbol") != request.symbol:
        raise broken(f"{request.symbol} was asked for and {shown(values.get('symbol'))} was answered")
    day = next((values[name] for name in _QUOTE_DAYS if name in values), "")
    renamed = {name: values.get(_QUOTE_NAMES.get(name, name)) for name in _FIELDS}
    return _series([(day, renamed)], lambda label: _instant(label, VENDOR_ZONE, daily=True))


def _placer(request: Request, zone: ZoneInfo, fetched_at: datetime) -> Callable[[str], datetime]:
    daily = request.interval is Interval.DAILY
    by_end = not daily and fetched_at < LABELLED_BY_START_SINCE
    shift = request.interval.length if by_end else timedelta(0)
    return lambda label: _instant(label, zone, shift, daily=daily)


def _instant(label: object, zone: ZoneInfo, shift: timedelta = timedelta(0), *, daily: bool) -> datetime:
    """Return the UTC instant of a label in a zone, `shift` before it; a day's is its midnight.

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
        return earlier.astimezone(UTC) - shift
    except OverflowError:
        raise ValueError("its time lies outside the calendar") from None


def _text(value: Any) -> str:
    """Return a number's text as it was told; what is no text at all becomes empty, which the contract refuses."""
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_FIELD or not value.isascii() or not value.isprintable():
        raise ValueError(f"{shown(value)} is no number")
    return value


def _by_name(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return members without the vendor's numbering, "1. open" as "open".

    Raises:
        ValueError: two members have one name, and nobody knows which is meant.
    """
    named = {_NUMBERED.sub("", key): value for key, value in members.items()}
    if len(named) < len(members):
        raise ValueError("two of its fields have the same name")
    if _BEYOND in named:
        raise ValueError("it has more values than there are columns")
    return named


def _refuse_other_months(series: Series, request: Request) -> None:
    """Refuse an answer about other months than was asked for: it would be believed about that month, too."""
    if request.month:
        first, past = month_span(request.month, VENDOR_ZONE)
        other = next((row.bar_time for row in series.rows if not first <= row.bar_time < past), None)
        if other:
            raise broken(f"{request.month} was asked for and the bar of {other:%Y-%m-%dT%H:%MZ} was answered")
