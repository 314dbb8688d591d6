"""Whatever the vendor sends: a series or a refusal, archived without the key, and nothing that stops the pipeline."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_pulse import contract
from market_pulse.clock import MarketClock
from market_pulse.contract import MAX_MESSAGE_BYTES, AnswerRecord, Bar, Cause, Interval, Rejection
from market_pulse.producer.rebuild import rebuild
from market_pulse.settings import Plan
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.answers import parse
from market_pulse.sources.base import DataType, Function, RefusedError, Request, Series
from support.intake import NOW, SESSIONS, intake_in
from support.samples import samples

KEY = 'S3CR/"ET+K%Y=12'
ROW = {"1. open": "1.5", "2. high": "3", "3. low": "0.5", "4. close": "2", "5. volume": "7"}
META = {"2. Symbol": "IBM", "6. Time Zone": "US/Eastern"}
MADE_UP = [
    json.dumps({"Meta Data": META, "Time Series (5min)": {"2026-01-05 10:55:00": ROW, "2026-01-05 10:50:00": ROW}}),
    json.dumps({"Meta Data": META, "Time Series (Daily)": {"2026-01-05": ROW, "2026-01-02": ROW}}),
    json.dumps({"Global Quote": {"01. symbol": "IBM", "05. price": "2", "07. latest trading day": "2026-01-05"} | ROW}),
    json.dumps({"Information": f"your API key as {KEY} and 25 requests per day"}),
    "timestamp,open,high,low,close,volume\r\n2026-01-05 10:55:00,1.5,3,0.5,2,7\r\n2026-01-05,1,1,1,1,1\r\n",
]
ANSWERS = [*(answer.encode() for answer in MADE_UP), *(path.read_bytes() for path in samples())]
NASTY = [
    *(b"\xff", b"\x00", b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"{", b"]", b'"', b",", b"\r\n", b"NaN", b"1e999"),
    *(b"9999-12-31 23:59:00", b"0001-01-01 00:00:00", b"2026-01-05 24:00:00", b"-1", b"0", b"1,234.5", b"9" * 5000),
    *(b"UTC", b"Asia/Kolkata", b"Etc/GMT-14", b"../../etc/passwd", b"ARTIFICIAL", b"Error Message", b"Note", b"null"),
    *(spelling.encode() for spelling in (KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1])),
]
REQUESTS = [
    Request(function, "IBM", interval, datatype, month=month, full=bool(month))
    for function, interval, month in (
        (Function.INTRADAY, Interval.FIVE_MINUTES, ""),
        (Function.INTRADAY, Interval.FIVE_MINUTES, "2026-01"),
        (Function.DAILY, Interval.DAILY, ""),
        (Function.QUOTE, Interval.DAILY, ""),
    )
    for datatype in DataType
]

_words = st.sampled_from(["IBM", "US/Eastern", KEY])
_scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | _words
_places = ["Meta Data", "2. Symbol", "6. Time Zone", "Time Series (5min)", "Time Series (Daily)", "Global Quote", *ROW]
_labels = ["2026-01-05 10:55:00", "2026-01-05", "Note", "Error Message", "Information", "message", "01. symbol"]
_keys = st.text() | st.sampled_from([*_places, *_labels])
_trees = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys, inner), max_leaves=30)


_documents = _trees.map(lambda tree: json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass"))
_minutes = st.integers(0, 600).map(lambda number: f"2026-01-05 {4 + number // 60:02}:{number % 60:02}:00")
_days = st.integers(1, 30).map(lambda number: f"2026-01-{number:02}")
_odd = st.sampled_from(["9999-12-31 23:59:00", "0001-01-01 00:00:00", "0001-01-01", "2026-11-01 01:30:00"])
_numbers = st.sampled_from(["1.5", "0", "-1", "9" * 19, "1e9", "None", "", "0.00000001", "1,5", 7, None, [], KEY])


def _rows(labels: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    changes = st.dictionaries(st.sampled_from(list(ROW)), _numbers, max_size=1)
    return st.dictionaries(st.one_of(*[labels] * 9, _odd), changes.map(lambda changed: ROW | changed), max_size=12)


@st.composite
def _plausible(draw: st.DrawFn) -> bytes:
    """Return an answer to all questions at once, here and there with a value that is no number or no time."""
    minutes, days = draw(_rows(_minutes)), draw(_rows(_days))
    if draw(st.booleans()):
        lines = [",".join(map(str, (label, *row.values()))) for label, row in {**minutes, **days}.items()]
        return "\r\n".join(["timestamp,open,high,low,close,volume", *lines, ""]).encode("utf-8", "replace")
    quote = ROW | {"01. symbol": "IBM", "05. price": draw(_numbers), "07. latest trading day": draw(_days | _odd)}
    answer = {"Meta Data": META, "Time Series (5min)": minutes, "Time Series (Daily)": days, "Global Quote": quote}
    return json.dumps(answer).encode()


@st.composite
def _mutations(draw: st.DrawFn) -> bytes:
    """Return an answer from which pieces were taken, and into which pieces were put, here and there."""
    body = draw(st.sampled_from(ANSWERS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = start + draw(st.integers(0, 30))
        body = body[:start] + draw(st.sampled_from([b"", *NASTY]) | st.binary(max_size=8)) + body[end:]
    return body


_bodies = st.binary() | _documents | _mutations() | _plausible() | _plausible() | st.sampled_from(ANSWERS)


@settings(max_examples=600, deadline=None)
@given(_bodies, st.sampled_from(REQUESTS), st.sampled_from([NOW, datetime(2017, 5, 5, tzinfo=NOW.tzinfo)]))
def test_any_body_is_a_series_or_a_refusal(body: bytes, request: Request, fetched_at: datetime) -> None:
    try:
        assert isinstance(parse(body, request, fetched_at), Series)
    except RefusedError as refused:
        assert str(refused).isascii()  # noqa: PT017 - either end is right


class _Vendor(AlphaVantage):
    """The source, with what a test says in place of the network."""

    def __init__(self, clock: MarketClock) -> None:
        super().__init__("alphavantage", "http://x", Account(KEY, Plan.PREMIUM, 75, extended=True), clock)
        self._http = self  # type: ignore[assignment]
        self.body, self.ahead = b"", 0.0

    def get(self, _path: str, _query: Mapping[str, str], **_: object) -> bytes:
        return self.body


@dataclass(frozen=True)
class _Clock(MarketClock):
    """Market time that goes on by a minute whenever somebody looks at it."""

    looks: list[int] = field(default_factory=list)

    def now(self) -> datetime:
        self.looks.append(1)
        return NOW + len(self.looks) * timedelta(minutes=1)


def test_any_body_goes_through_the_intake_is_told_again_from_the_archive_and_leaves_no_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = _Clock(1, NOW, NOW)
    vendor, intake, told = _Vendor(clock), intake_in(tmp_path), list[bytes]()

    @settings(max_examples=400, deadline=None)
    @given(_bodies, st.sampled_from(REQUESTS), st.sampled_from([Cause.POLL, Cause.REPAIR, Cause.REPLAY]), st.booleans())
    def feed(body: bytes, request: Request, cause: Cause, is_part: bool) -> None:  # noqa: FBT001 - drawn
        caplog.clear()
        before, sentence, vendor.body = intake.archive.end(), "", body
        try:
            answer = vendor.fetch(request)
        except RefusedError as refused:
            sentence = str(refused)
            intake.refuse(request, cause, clock.now(), refused)
        else:
            intake.take(answer, cause, (NOW, NOW + timedelta(days=1)) if is_part else None)
        waiting = intake.outbox.oldest(100_000)
        intake.outbox.remove([message.id for message in waiting])
        told.extend(message.value for message in waiting)
        *bars, record = [contract.decode(message.symbol.encode(), message.value) for message in waiting]
        assert isinstance(record, AnswerRecord)
        assert {type(bar) for bar in bars} <= {Bar, Rejection}
        assert (record.told, record.refusal is None) == (len(bars), not sentence)
        assert all(len(message.value) <= MAX_MESSAGE_BYTES for message in waiting)
        ((_, kept),) = intake.archive.after(before)
        assert (kept.request_id, kept.sha256) == (record.request_id, record.sha256)
        everything = kept.body + b"".join(message.value for message in waiting)
        for spelling in (KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1]):
            assert spelling.encode() not in everything
            assert spelling not in f"{sentence} {caplog.text}"

    feed()
    assert sum(b'"refusal":null' in value for value in told) > 20, "too few of these bodies are answers"
    assert [message.value for message in rebuild(intake.archive.entries(), SESSIONS)] == told
