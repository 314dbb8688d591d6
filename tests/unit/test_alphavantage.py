"""What is sent to Alpha Vantage letter by letter, and what is kept of its answers: never the key."""

import json
import logging
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from market_pulse.clock import MarketClock
from market_pulse.contract import Interval
from market_pulse.settings import Plan
from market_pulse.sources.alphavantage import Account, AlphaVantage
from market_pulse.sources.base import Answer, DataType, Function, Refusal, RefusedError, Request
from support.one_connection import serving
from support.samples import sample

KEY = "s3cret-key"
NOW = datetime(2026, 1, 5, 17, 0, 30, tzinfo=UTC)


class _StandingClock(MarketClock):
    """Market time that stands still."""

    def now(self) -> datetime:
        return NOW


def _vendor(address: str, plan: Plan, key: str = KEY, *, extended: bool = True) -> AlphaVantage:
    return AlphaVantage("alphavantage", address, Account(key, plan, 75, extended), _StandingClock(1, NOW, NOW))


@pytest.mark.parametrize(
    ("plan", "request_", "query"),
    [
        (
            Plan.PREMIUM,
            Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE),
            (
                "function=TIME_SERIES_INTRADAY symbol=IBM interval=1min adjusted=false extended_hours=true "
                "outputsize=compact entitlement=realtime datatype=json apikey=s3cret-key"
            ),
        ),
        (
            Plan.DELAYED,
            Request(Function.INTRADAY, "BRK.B", Interval.SIXTY_MINUTES, DataType.CSV, full=True),
            (
                "function=TIME_SERIES_INTRADAY symbol=BRK.B interval=60min adjusted=false extended_hours=true "
                "outputsize=full entitlement=delayed datatype=csv apikey=s3cret-key"
            ),
        ),
        (
            Plan.PREMIUM,
            Request(Function.INTRADAY, "BF-B", Interval.FIVE_MINUTES, full=True, month="2026-04"),
            (
                "function=TIME_SERIES_INTRADAY symbol=BF-B interval=5min adjusted=false extended_hours=true "
                "month=2026-04 outputsize=full entitlement=realtime datatype=json apikey=s3cret-key"
            ),
        ),
        (
            Plan.FREE,
            Request(Function.DAILY, "TSCO.LON", Interval.DAILY),
            "function=TIME_SERIES_DAILY symbol=TSCO.LON outputsize=compact datatype=json apikey=s3cret-key",
        ),
        (
            Plan.DELAYED,
            Request(Function.DAILY, "IBM", Interval.DAILY, DataType.CSV, full=True),
            (
                "function=TIME_SERIES_DAILY symbol=IBM outputsize=full entitlement=delayed datatype=csv "
                "apikey=s3cret-key"
            ),
        ),
        (
            Plan.FREE,
            Request(Function.QUOTE, "IBM", Interval.DAILY),
            "function=GLOBAL_QUOTE symbol=IBM datatype=json apikey=s3cret-key",
        ),
        (
            Plan.PREMIUM,
            Request(Function.QUOTE, "F", Interval.DAILY, DataType.CSV),
            "function=GLOBAL_QUOTE symbol=F entitlement=realtime datatype=csv apikey=s3cret-key",
        ),
    ],
)
def test_requests_are_sent_letter_by_letter(plan: Plan, request_: Request, query: str) -> None:
    lines: list[bytes] = []
    with serving(lambda _, request: lines.append(request.splitlines()[0])) as address, pytest.raises(RefusedError):
        _vendor(address, plan).fetch(request_)
    assert lines == [f"GET /query?{query.replace(' ', '&')} HTTP/1.1".encode()]


def test_extended_hours_are_asked_for_or_not() -> None:
    request = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE)
    asked, not_asked = (_vendor("http://x", Plan.PREMIUM, extended=wanted).query(request) for wanted in (True, False))
    assert asked == not_asked | {"extended_hours": "true"}
    assert not_asked["extended_hours"] == "false"


@pytest.mark.parametrize("symbol", ["a b", "x&apikey=y", "../../etc", "é", "'; DROP TABLE", "x\r\nHost: y", "?#%"])
def test_a_symbol_stays_one_parameter_whatever_is_in_it(symbol: str) -> None:
    lines: list[bytes] = []
    with serving(lambda _, request: lines.append(request.splitlines()[0])) as address, pytest.raises(RefusedError):
        _vendor(address, Plan.FREE).fetch(Request(Function.QUOTE, symbol, Interval.DAILY))
    target = lines[0].decode("ascii").split(" ")[1]
    assert parse_qs(urlsplit(target).query, strict_parsing=True)["symbol"] == [symbol]
    assert parse_qs(urlsplit(target).query)["apikey"] == [KEY]


def _answering(answer: bytes, key: str = KEY, head: str = "200 OK", request: Request | None = None) -> Answer:
    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)

    with serving(behave) as address:
        return _vendor(address, Plan.FREE, key).fetch(request or Request(Function.DAILY, "IBM", Interval.DAILY))


def _refused(answer: bytes, key: str = KEY, head: str = "200 OK") -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        _answering(answer, key, head)
    return refused.value


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (
            '{{"Information": "your API key as {key} and 25 requests per day"}}',
            '{{"Information": "your API key as *** and',
        ),
        ("<html>/query?symbol=IBM&apikey={quoted}&datatype=json</html>", "<html>/query?symbol=IBM&apikey=***&datatype"),
        ('{{"Note": "{escaped}"}}', '{{"Note": "***"}}'),
        ("<p>{html}</p>", "<p>***</p>"),
    ],
)
@pytest.mark.parametrize("key", ["ABCDEFGH12345678", 'a/b+c="d%e', "schlüssel-12"])
def test_the_key_is_in_nothing_that_is_kept_or_told(
    body: str, kept: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    escaped = "".join(f"\\u{ord(letter):04X}" for letter in key)
    spelled = {"key": json.dumps(key, ensure_ascii=False)[1:-1], "quoted": quote(key, safe=""), "escaped": escaped}
    spelled["html"] = "".join(f"&#{ord(letter)};" for letter in key)
    refused = _refused(body.format(**spelled).encode(), key)
    assert refused.body.startswith(kept.format().encode())
    for spelling in (key, *spelled.values()):
        assert spelling.encode() not in refused.body
        assert spelling not in f"{refused!r} {caplog.text}"


def test_the_key_is_in_nothing_that_is_kept_of_another_charset_or_of_half_an_answer() -> None:
    key = "ABCDEFGH12345678"
    for charset in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
        refused = _refused("é your API key as ".encode(charset) + key.encode(charset) + b"\0", key)
        assert key.encode(charset) not in refused.body
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nyour API key as " + key.encode()[:9]
    with serving(lambda connection, _: connection.sendall(cut)) as address, pytest.raises(RefusedError) as refused_cut:
        _vendor(address, Plan.FREE, key).fetch(Request(Function.DAILY, "IBM", Interval.DAILY))
    assert refused_cut.value.body == b"your API key as ***"


@pytest.mark.parametrize("spelling", ["plain", "escaped", "percent", "html", "utf-16-le", "utf-16-be"])
def test_an_answer_that_ends_or_begins_inside_the_key_shows_none_of_it(spelling: str) -> None:
    key = "ABCDEFGH12345678"

    def spelled(text: str) -> bytes:
        if spelling.startswith("utf"):
            return text.encode(spelling)
        forms = {"plain": "{:c}", "escaped": "\\u{:04x}", "percent": "%{:02X}", "html": "&#{};"}
        return "".join(forms[spelling].format(ord(letter)) for letter in text).encode()

    start = "your API key as ".encode(spelling if spelling.startswith("utf") else "ascii")
    mask = "***".encode(spelling if spelling.startswith("utf") else "ascii")
    for length in range(1, len(key)):
        # Without a length, the end of the connection is the end of the answer.
        body = start + spelled(key[:length])
        with serving(_ending(body)) as address, pytest.raises(RefusedError) as refused:
            _vendor(address, Plan.FREE, key).fetch(Request(Function.DAILY, "IBM", Interval.DAILY))
        assert refused.value.body == start + mask
        assert "ABCD" not in f"{refused.value}"
    end = spelled(key[-14:]) + start
    with serving(_ending(end)) as address, pytest.raises(RefusedError) as refused:
        _vendor(address, Plan.FREE, key).fetch(Request(Function.DAILY, "IBM", Interval.DAILY))
    assert refused.value.body == mask + start


@pytest.mark.parametrize("half", [b"\\", b"\\u00", b"%", b"%4", b"&#", b"&#6", b"&#x4"])
def test_half_a_letter_of_the_key_hides_nothing_before_it(half: bytes) -> None:
    with serving(_ending(b"key ABCDEFGH123456" + half)) as address, pytest.raises(RefusedError) as refused:
        _vendor(address, Plan.FREE, "ABCDEFGH12345678").fetch(Request(Function.DAILY, "IBM", Interval.DAILY))
    assert refused.value.body == b"key ***"


def _ending(body: bytes) -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)


@pytest.mark.parametrize("is_long", [True, False])
def test_a_long_answer_has_the_time_of_a_slow_line(monkeypatch: pytest.MonkeyPatch, *, is_long: bool) -> None:
    given: list[float | None] = []

    def get(*_: object, deadline_seconds: float | None = None) -> bytes:
        given.append(deadline_seconds)
        return b"{}"

    monkeypatch.setattr("market_pulse.sources.http.HttpClient.get", get)
    with pytest.raises(RefusedError):
        _vendor("http://x", Plan.PREMIUM).fetch(Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE, full=is_long))
    assert given == [15 if is_long else None]


def test_an_answer_is_kept_as_it_came_and_a_refusal_up_to_a_bound() -> None:
    data = {"Meta Data": {"2. Symbol": "IBM", "5. Time Zone": "US/Eastern"}, "Time Series (Daily)": {"2026-01-02": {}}}
    body = json.dumps(data, indent=3).encode()
    assert _answering(body).body == body
    assert _refused(b"<html>sorry</html>", head="503 Unavailable").body == b"<html>sorry</html>"
    assert len(_refused(b"<" * 3_000_000).body) == 1024 * 1024


@pytest.mark.parametrize(
    ("head", "refusal"),
    [
        ("429 Too Many Requests", Refusal.BURST),
        ("503 Unavailable", Refusal.VENDOR_ERROR),
        ("302 Found\r\nLocation: http://127.0.0.1:1/login", Refusal.VENDOR_ERROR),
        ("200 OK\r\nContent-Encoding: gzip", Refusal.VENDOR_ERROR),
    ],
)
def test_what_http_refuses_has_its_class(head: str, refusal: Refusal) -> None:
    refused = _refused(b"sorry", head=head)
    assert refused.refusal is refusal
    assert refused.body == (b"" if "gzip" in head else b"sorry")


def test_the_demo_keys_refusal_is_known_without_the_key() -> None:
    sentence = sample("wl_information_demo_key_refusal.json").read_bytes()
    assert _refused(sentence, key="demo").refusal is Refusal.NOT_ENTITLED


@pytest.mark.parametrize(
    ("label", "days"),
    [
        ("2026-01-02", 1),
        # The vendor tells a bar of after its own date: then its clock is the wrong one.
        ("2026-01-05", 0),
    ],
)
def test_an_answer_is_dated_by_the_vendor_where_this_hosts_clock_is_ahead(
    label: str, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = _dated(label, "Daily", Request(Function.DAILY, "IBM", Interval.DAILY), timedelta(days=1))
    for moment in (answer.asked_at, answer.fetched_at):
        assert abs(NOW - timedelta(days=days) - moment) < timedelta(seconds=5)
    assert sum("clock ahead of the vendor's" in message for message in caplog.messages) == 1


def test_a_bar_that_began_within_the_second_of_the_vendors_date_says_how_late_it_is() -> None:
    # The clock is ahead by a day less 28 seconds: by the vendor's date it is 12:00:58 at the exchange.
    request = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE)
    answer = _dated("2026-01-04 12:01:00", "1min", request, timedelta(days=1, seconds=-28))
    assert answer.fetched_at == datetime(2026, 1, 4, 17, 1, tzinfo=UTC)
    assert timedelta() < answer.fetched_at - answer.asked_at < timedelta(seconds=5)


def _dated(label: str, series: str, request: Request, ahead: timedelta) -> Answer:
    """Return the answer with one bar of a vendor by whose date this host's clock is ahead."""
    bar = {"1. open": "1", "2. high": "2", "3. low": "1", "4. close": "2", "5. volume": "7"}
    meta = {"2. Symbol": "IBM"} | {f"{5 if series == 'Daily' else 6}. Time Zone": "US/Eastern"}
    body = json.dumps({"Meta Data": meta, f"Time Series ({series})": {label: bar}}).encode()
    date = formatdate(time.time() - ahead.total_seconds(), usegmt=True)
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(head + body)

    with serving(behave) as address:
        return _vendor(address, Plan.PREMIUM).fetch(request)
