"""What the pages decide: who is let in, what a frame is, when a reader is cut off, and what is said of the feed."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from market_pulse.errors import SettingsError
from market_pulse.web import graph, health, hub, index, protocol
from market_pulse.web.bars import Completeness, Lag, Quote, Series, ShownBar
from market_pulse.web.guard import MOST_BODY_BYTES, Guard
from market_pulse.web.health import Facts, Health, Market, State
from market_pulse.web.ring import Entry, Ring
from market_pulse.web.settings import FEWEST_TOKEN_LETTERS, WebSettings
from unit.test_web_ring import IBM, START, shown_bar

NOW = START + timedelta(minutes=30)
TOKEN = "x" * FEWEST_TOKEN_LETTERS


def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **given: str) -> WebSettings:
    authority = tmp_path / "ca.crt"
    authority.touch()
    credentials = {"mp_postgresql_web_password": "p", "mp_kafka_password": "p"}
    environment = {
        "DATABASE_AUTHORITY": str(authority),
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": "5432",
        "DATABASE_NAME": "d",
        "DATABASE_USER": "u",
        "KAFKA_AUTHORITY": str(authority),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "TOPIC": "bars",
        "EXCHANGE": "XNYS",
        "INTERVAL": "1min",
        "WEB_HOST": "127.0.0.1",
        "WEB_PORT": "8083",
        "WEB_KAFKA_PORT": "8082",
    }
    for name, value in given.items():
        (credentials if name.startswith("mp_") else environment)[name] = value
    for name, value in credentials.items():
        (tmp_path / name).write_text(value)
    for name, value in environment.items():
        monkeypatch.setenv(f"MP_{name}", value)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return WebSettings.load()


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({}, ["mp_web_keystore", "mp_web_token"]),
        ({"mp_web_keystore": "pem"}, ["mp_web_token"]),
        ({"mp_web_token": TOKEN}, ["mp_web_keystore"]),
        ({"mp_web_keystore": "pem", "mp_web_token": "short"}, ["mp_web_token"]),
    ],
)
@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "::"])  # noqa: S104 - to be refused
def test_an_address_that_others_reach_takes_tls_and_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], lacking: list[str], host: str
) -> None:
    with pytest.raises(SettingsError, match="which others reach") as refused:
        settings(monkeypatch, tmp_path, WEB_HOST=host, **given)
    assert [name for name in ("mp_web_keystore", "mp_web_token") if name in str(refused.value)] == lacking
    assert TOKEN not in str(refused.value)


def test_with_both_it_is_open_and_on_loopback_it_needs_neither(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both = {"mp_web_keystore": "pem", "mp_web_token": f"{TOKEN}\n"}
    opened = settings(monkeypatch, tmp_path, WEB_HOST="192.0.2.1", **both)
    assert (opened.is_open, opened.token, opened.keystore) == (True, TOKEN, tmp_path / "mp_web_keystore")
    closed = settings(monkeypatch, tmp_path, WEB_HOST="::1", **both)
    assert (closed.is_open, closed.token, closed.keystore) == (False, None, None)


# ---- the guard


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"read {len(await request.body())}")


def ask(
    token: str | None = None, path: str = "/api/x", method: str = "GET", body: bytes = b"", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Return how the guard, or who is behind it, answers."""
    app = Starlette(routes=[Route("/{rest:path}", _page, methods=["GET", "POST"])])
    lines = {"host": "bars.example.net:8083", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in lines.items()],
        "client": ("192.0.2.9", 1),
    }
    sent: list[Message] = []
    chunks: list[Message] = [
        {"type": "http.request", "body": body[at : at + 4096], "more_body": at + 4096 < len(body)}
        for at in range(0, len(body) or 1, 4096)
    ]

    async def receive() -> Message:
        return chunks.pop(0) if chunks else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, ["bars.example.net"], token)(scope, receive, send))
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]).decode()


def test_without_a_token_a_page_is_open_to_who_calls_it_by_its_name() -> None:
    assert ask()[::2] == (200, "read 0")
    assert ask(host="localhost")[0] == ask(host="[::1]:9")[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "bars.example.net.evil.example:8083", "", "[", "a b"):
        assert ask(host=host)[0] == 400, host


def test_another_page_in_the_readers_browser_is_refused() -> None:
    assert ask(origin="http://bars.example.net:8083")[0] == 200
    for origin in ("http://evil.example", "null", "http://bars.example.net:9999"):
        assert ask(origin=origin)[0] == 403, origin


def test_nothing_is_answered_without_what_keeps_a_browser_from_harm() -> None:
    for headers in (ask()[1], ask(host="evil.example")[1]):
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_a_token_is_asked_for_and_kept_by_a_cookie() -> None:
    assert ask(TOKEN)[0] == 401
    assert ask(TOKEN, path="/", accept="text/html")[:2][1]["location"] == "/login"
    assert ask(TOKEN, authorization=f"Bearer {TOKEN}")[0] == 200
    assert ask(TOKEN, authorization=f"Bearer {TOKEN}x")[0] == 401
    assert "<form" in ask(TOKEN, path="/login")[2]
    status, headers, _ = ask(TOKEN, path="/login", method="POST", body=b"token=wrong")
    assert (status, "set-cookie" in headers) == (403, False)
    status, headers, _ = ask(TOKEN, path="/login", method="POST", body=f"token={TOKEN}".encode())
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert {"httponly", "secure", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert ask(TOKEN, cookie=cookie.split(";")[0])[0] == 200
    assert ask(TOKEN, cookie=cookie.split(";")[0] + "x")[0] == 401
    assert ask("another" + TOKEN, cookie=cookie.split(";")[0])[0] == 401
    assert ask(TOKEN, path="/health")[0] == 200


@pytest.mark.parametrize("said", [True, False])
def test_a_body_is_bounded_be_its_length_said_or_not(said: bool) -> None:  # noqa: FBT001 - a parameter
    for size, status in ((MOST_BODY_BYTES, 200), (MOST_BODY_BYTES + 1, 413)):
        length = {"content_length": str(size)} if said else {}
        assert ask(method="POST", body=b"x" * size, **length)[0] == status
    assert ask(method="POST", content_length="-1")[0] == 413


# ---- the protocol


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("", "not a request"),
        ("[]", "not a request"),
        ('{"type": "subscribe"}', "symbol"),
        ('{"type": "buy", "symbol": "IBM"}', "type"),
        ('{"type": "subscribe", "symbol": "ibm\\n", "interval": "1min"}', "symbol must look like"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "2min"}', "interval must be one of 1min"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "1min", "bars": 0}', "bars must be from 1"),
        ('{"type": "subscribe", "symbol": "IBM", "interval": "1min", "after": 7}', "belong together"),
        ("[" * 10_000, "not a request"),
    ],
)
def test_a_frame_that_is_no_request_is_told_what_would_be_one(frame: str, said: str) -> None:
    with pytest.raises(protocol.FrameError, match=said):
        protocol.decode(frame)


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_no_frame_breaks_the_decoder(frame: str | bytes) -> None:
    with contextlib.suppress(protocol.FrameError):
        assert protocol.decode(frame)


# ---- the hub


def entries(count: int, series: Series = IBM) -> list[Entry]:
    return [Entry(series, 0, number, shown_bar(number)) for number in range(count)]


def reading(act: Callable[[hub.Hub], Any]) -> None:
    """Do something with a hub that has a ring, on an event loop."""

    async def within() -> None:
        made = hub.Hub()
        made.begin(Ring("t", {0: 0}, 10))
        await act(made)

    asyncio.run(within())


def test_a_reader_who_does_not_read_is_cut_off_and_costs_no_more_than_his_queue() -> None:
    async def act(made: hub.Hub) -> None:
        slow, quick = hub.Reader(), hub.Reader()
        for reader in (slow, quick):
            made.enter(reader)
            made.subscribe(reader, IBM)
        for each in entries(hub.MOST_WAITING + 50):
            made.publish([each], [])
            assert (await quick.next()).sequence == each.sequence
        with pytest.raises(hub.CutOffError, match="slow reader"):
            await slow.next()
        made.leave(slow)
        assert made.readers == 1

    reading(act)


def test_readers_and_their_subscriptions_are_bounded() -> None:
    async def act(made: hub.Hub) -> None:
        reader = hub.Reader()
        made.enter(reader)
        for number in range(protocol.MOST_SUBSCRIPTIONS):
            made.subscribe(reader, Series(f"S{number}", "1min"))
        made.subscribe(reader, Series("S1", "1min"))
        with pytest.raises(hub.CutOffError, match="subscriptions"):
            made.subscribe(reader, IBM)
        made.leave(reader)
        for _ in range(hub.MOST_READERS):
            made.enter(hub.Reader())
        with pytest.raises(hub.CutOffError, match="readers"):
            made.enter(hub.Reader())

    reading(act)


def test_a_reader_gets_what_he_wants_alone() -> None:
    async def act(made: hub.Hub) -> None:
        reader = hub.Reader()
        made.enter(reader)
        made.subscribe(reader, IBM)
        made.publish([*entries(1, Series("MSFT", "1min")), *entries(1, Series("IBM", "daily")), *entries(1)], [(0, 5)])
        assert (await reader.next()).series == IBM
        made.unsubscribe(reader, IBM)
        made.publish(entries(1), [])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.next(), 0.01)
        assert made.ring is not None
        assert made.ring.head(0) == 4

    reading(act)


# ---- comparison and health


def closes(*prices: str, first: int = 0) -> list[ShownBar]:
    return [shown_bar(first + place, price) for place, price in enumerate(prices)]


def test_symbols_are_compared_from_the_first_bar_that_all_have() -> None:
    lines = index.compared({"IBM": closes("10", "20", "30"), "MSFT": closes("400", "500", first=1), "NONE": []})
    found = {line.symbol: (line.base, [value for _, value in line.points]) for line in lines}
    assert found == {"IBM": ("20", ["100.0000", "150.0000"]), "MSFT": ("400", ["100.0000", "125.0000"])}


def test_symbols_that_never_traded_at_the_same_time_have_no_comparison() -> None:
    assert index.compared({"IBM": closes("10"), "MSFT": closes("10", first=5)}) == []
    assert index.compared({}) == []


WELL = Facts(
    Market(now=NOW, is_open=True, opens_at=START), NOW - timedelta(minutes=2), timedelta(minutes=1), [], [], [], []
)
COUNT = {"interval": "1min", "trading_date": NOW.date(), "expected": 9, "stored": 7, "pending": 0}


@pytest.mark.parametrize(
    ("changed", "state", "said"),
    [
        ({}, State.WELL, "Bars come"),
        ({"market": Market(now=NOW, is_open=False, opens_at=None), "newest": START}, State.WELL, "closed"),
        ({"newest": None}, State.ATTENTION, "No bar is stored yet"),
        ({"newest": NOW - timedelta(minutes=20)}, State.ATTENTION, "20 minutes ago"),
        ({"newest": NOW - timedelta(days=3), "step": timedelta(days=1)}, State.WELL, "Bars come"),
        ({"lag": [Lag(partition=0, next_offset=0, end=9000, records=9000)]}, State.ATTENTION, "9000 records"),
        ({"lag": [Lag(partition=0, next_offset=0, end=None, records=None)]}, State.WELL, "Bars come"),
        ({"completeness": [Completeness(**COUNT, missing=2)]}, State.ATTENTION, "2 bars are missing"),
        ({"findings": ["IBM has gone", "more"]}, State.ATTENTION, "IBM has gone"),
        ({"troubles": ["a", "b"], "newest": None}, State.DOWN, "a; b"),
    ],
)
def test_the_sentence_says_the_worst(changed: dict[str, Any], state: State, said: str) -> None:
    found, sentence = health.verdict(dataclasses.replace(WELL, **changed))
    assert found is state
    assert said in sentence


@pytest.mark.parametrize(
    ("shown", "told"), [(graph.Bar, ShownBar), (graph.Quote, Quote), (graph.Completeness, Completeness)]
)
def test_graphql_shows_what_rest_shows(shown: type, told: type) -> None:
    names = [[field.name for field in dataclasses.fields(each)] for each in (shown, told)]
    assert names[0] == names[1]


def test_graphql_shows_nothing_of_the_feed_that_rest_does_not() -> None:
    names = [{field.name for field in dataclasses.fields(each)} for each in (graph.Health, Health)]
    assert names[0] < names[1]
