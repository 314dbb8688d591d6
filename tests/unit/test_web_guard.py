"""Who is let in to the pages, and with how much."""

import asyncio
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from market_pulse.errors import SettingsError
from market_pulse.web.guard import MOST_BODY_BYTES, Guard
from market_pulse.web.settings import FEWEST_TOKEN_LETTERS, WebSettings

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
