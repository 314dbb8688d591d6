"""Who is let in to a page, and how much he may send: an ASGI layer around a whole application.

On loopback a reader is on this host, or came by ssh, and proves nothing more; what is refused there is other pages in
his browser. Elsewhere he types the token once, and a cookie says so from then on; programs send it as a bearer.
"""

import hmac
import logging
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from market_pulse import log

MOST_BODY_BYTES = 16 * 1024
_COOKIE = "market_pulse_session"
_COOKIE_SECONDS = 30 * 24 * 3600
_LOGIN = "/login"
# What a reader has to have before he has shown the token, and what the daemon asks itself.
_OPEN_PATHS = ("/health", "/static/style.css")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'self'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>market-pulse</title><link rel="stylesheet" href="/static/style.css"></head>
<body class="login"><main><h1>market-pulse</h1>{said}
<form method="post" action="/login"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Go in</button></form></main></body></html>
"""

_log = logging.getLogger(__name__)


class Guard:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, names: Iterable[str], token: str | None) -> None:
        """Let in by these host names, and with the token if there is one."""
        self._app = app
        self._names = {*_LOOPBACK, *names}
        self._token = token
        self._session = hmac.digest(token.encode(), b"market-pulse web session", "sha256").hex() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with what is wrong."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal: Response | None = self._misled(headers)
        if scope["type"] == "websocket":
            if refusal is None and not self._knows(headers):
                refusal = PlainTextResponse("the token is missing", 403)
            await (refusal or self._app)(scope, receive, send)
            return
        receive, is_too_long, body = await _bounded(headers, receive)
        if is_too_long:
            refusal = PlainTextResponse(f"a request has at most {MOST_BODY_BYTES} bytes", 413)
        await (refusal or self._answer(scope, headers, body) or self._app)(scope, receive, _with_headers(send))

    def _misled(self, headers: Headers) -> Response | None:
        """Refuse what another page made the reader's browser ask."""
        host = headers.get("host", "")
        if _name(f"//{host}") not in self._names:
            return PlainTextResponse(f"Host is {host[:100]!r}, which is no name of this page's", 400)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return PlainTextResponse("another page may not ask this one", 403)
        return None

    def _knows(self, headers: Headers) -> bool:
        if self._token is None or self._session is None:
            return True
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self._token.encode()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._session.encode())

    def _answer(self, scope: Scope, headers: Headers, body: bytes) -> Response | None:
        """Return the answer to who has not shown the token, or None to let him in."""
        if scope["path"] == _LOGIN:
            return self._logged_in(scope, body)
        if scope["path"] in _OPEN_PATHS or self._knows(headers):
            return None
        if "text/html" in headers.get("accept", ""):
            return RedirectResponse(_LOGIN, 303)
        return PlainTextResponse("the token is missing: send it as Authorization: Bearer", 401)

    def _logged_in(self, scope: Scope, body: bytes) -> Response:
        if self._token is None or self._session is None:
            return RedirectResponse("/", 303)
        if scope["method"] != "POST":
            return HTMLResponse(_PAGE.format(said=""))
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            log.event(_log, logging.WARNING, "wrong token", client=(scope.get("client") or ("?",))[0])
            return HTMLResponse(_PAGE.format(said='<p role="alert">That is not the token.</p>'), 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(_COOKIE, self._session, _COOKIE_SECONDS, httponly=True, secure=True, samesite="strict")
        return answer


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _bounded(headers: Headers, receive: Receive) -> tuple[Receive, bool, bytes]:
    """Read a request's body, and return how the application reads it again, whether it is too long, and what it is."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
        return receive, True, b""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            return receive, True, b""
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again, False, body


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sending
