"""Hostile servers, for real, on loopback: the client keeps its deadline, its cap and its secret."""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

from market_pulse.sources.http import HttpClient, HttpError
from support.one_connection import serving
from support.ports import free_port
from support.waiting import eventually

SECRET = "k3y-in-the-query"
DEADLINE = 0.5
OK = b"HTTP/1.1 200 OK\r\n"
Behaviour = Callable[[socket.socket, bytes], None]


def _drip(first: bytes, drop: bytes) -> Behaviour:
    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(first)
        with contextlib.suppress(OSError):
            while connection.sendall(drop) is None:
                readable, _, _ = select.select([connection], [], [], 0.05)
                if readable:
                    return

    return behave


def _say(*parts: bytes) -> Behaviour:
    return lambda connection, _: connection.sendall(b"".join(parts))


def _get(address: str) -> bytes:
    client = HttpClient(address, deadline_seconds=DEADLINE, max_bytes=1000)
    try:
        return client.get("/query", {"function": "X", "apikey": SECRET})
    finally:
        client.close()


def test_a_plain_answer_is_returned_whole() -> None:
    with serving(_say(OK, b"Content-Length: 5\r\n\r\nhello")) as address:
        assert _get(address) == b"hello"


@pytest.mark.parametrize(
    ("age", "headers", "ahead"),
    [
        (86_400.0, b"", 86_400.0),
        (86_400.0, b"Age: 86400\r\n", 0.0),
        (3.0, b"", 0.0),
        # Of a clock that is behind the server's the answers are told with their right order, if late.
        (-3600.0, b"", 0.0),
    ],
)
def test_a_clock_ahead_of_the_servers_is_noticed(age: float, headers: bytes, ahead: float) -> None:
    dated = formatdate(time.time() - age, usegmt=True).encode()
    with serving(_say(OK, b"Date: " + dated + b"\r\n", headers, b"Content-Length: 2\r\n\r\n{}")) as address:
        client = HttpClient(address, deadline_seconds=DEADLINE, max_bytes=1000)
        client.get("/query", {"apikey": SECRET})
        client.close()
    assert client.ahead == pytest.approx(ahead, abs=5)


@pytest.mark.parametrize("header", [b"", b"Date: yesterday\r\n", b"Date: Thu, 32 Jan 2026 00:00:00 GMT\r\n"])
def test_an_answer_without_a_usable_date_shows_nothing_about_the_clock(header: bytes) -> None:
    with serving(_say(OK, header, b"Content-Length: 2\r\n\r\n{}")) as address:
        client = HttpClient(address, deadline_seconds=DEADLINE, max_bytes=1000)
        client.get("/query", {"apikey": SECRET})
        client.close()
    assert client.ahead == 0


@pytest.mark.parametrize(
    "behave",
    [
        _drip(OK + b"Content-Length: 900\r\n\r\n", b"x"),
        _drip(OK + b"\r\n", b"x"),
        _drip(OK + b"X: ", b"x"),
        _drip(b"", b"H"),
        _drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        _drip(b"", b""),
    ],
    ids=["body", "body without a length", "header", "status line", "chunks", "nothing"],
)
def test_a_server_that_drips_meets_the_deadline(behave: Behaviour) -> None:
    with serving(behave) as address:
        started = time.monotonic()
        with pytest.raises(HttpError, match=r"no whole answer within 0\.5 s"):
            _get(address)
        assert time.monotonic() - started < DEADLINE + 1


def test_a_request_may_have_a_deadline_of_its_own() -> None:
    def late(connection: socket.socket, _: bytes) -> None:
        select.select([connection], [], [], 2 * DEADLINE)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n{}")

    with serving(late) as address:
        client = HttpClient(address, deadline_seconds=DEADLINE, max_bytes=1000)
        assert client.get("/query", {"apikey": SECRET}, deadline_seconds=20 * DEADLINE) == b"{}"
        client.close()


def test_a_resolver_that_does_not_answer_meets_the_deadline_and_nothing_is_sent_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved, resolve, requests = threading.Event(), socket.getaddrinfo, list[bytes]()

    def dead(*args: Any, **kwargs: Any) -> Any:
        resolved.wait(30)
        return resolve(*args, **kwargs)

    with serving(lambda _, request: requests.append(request)) as address:
        monkeypatch.setattr(socket, "getaddrinfo", dead)
        client, answers = HttpClient(address, deadline_seconds=0.1, max_bytes=1000), list[str]()
        for _ in range(10):
            started = time.monotonic()
            with pytest.raises(HttpError) as failed:
                client.get("/query", {"apikey": SECRET})
            answers.append(str(failed.value))
            assert time.monotonic() - started < 1
        resolved.set()
    assert requests == [b""]
    assert answers[:8] == ["no whole answer within 0.1 s"] * 8
    assert all(answer.startswith("8 requests before still wait") for answer in answers[8:])
    eventually(lambda: "requests before" not in _refusal(client), within=5, what="the client asks again")
    client.close()


def _refusal(client: HttpClient) -> str:
    with pytest.raises(HttpError) as failed:
        client.get("/query", {"apikey": SECRET})
    return str(failed.value)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (OK + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000, "larger than 1000 bytes"),
        (OK + b"Content-Length: 50\r\n\r\nhalf", "IncompleteRead"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", "compressed"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n\r\n", "HTTP status 302"),
        (b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", "HTTP status 429"),
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nsorry", "HTTP status 503"),
        (b"garbage\r\n\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_everything_else_is_an_error_without_the_query(
    answer: bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(_say(answer)) as address, pytest.raises(HttpError) as failed:
        _get(address)
    assert sentence in str(failed.value)
    assert SECRET not in f"{failed.value!r} {failed.value.__context__ and failed.value.__suppress_context__}"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("answer", "status", "kept"),
    [
        (OK + b"Content-Length: 50\r\n\r\nhalf", 200, b"half"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 200, b"half"),
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nsorry", 503, b"sorry"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 200, b""),
        (b"garbage\r\n\r\n", None, b""),
    ],
)
def test_what_arrived_stands_beside_the_error(answer: bytes, status: int | None, kept: bytes) -> None:
    with serving(_say(answer)) as address, pytest.raises(HttpError) as failed:
        _get(address)
    assert (failed.value.status, failed.value.body) == (status, kept)


@pytest.mark.parametrize("head", [b"HTTP/1.1 503 No\r\n", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"])
def test_no_more_is_read_of_an_error_than_of_an_answer(head: bytes) -> None:
    sent: list[int] = []

    def pour(connection: socket.socket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(head + b"\r\n")
            while len(sent) < 10_000:
                sent.append(connection.send(b"x" * 65_536))

    with serving(pour) as address, pytest.raises(HttpError) as failed:
        _get(address)
    assert len(failed.value.body) < 100_000
    assert sum(sent) < 50_000_000


def test_headers_that_cannot_be_read_are_not_told_with_the_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(_say(OK, b"no colon\r\nContent-Length: 5\r\n\r\nhello")) as address, contextlib.suppress(HttpError):
        _get(address)
    assert caplog.text == ""


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "http://no-such-host.invalid", "https://127.0.0.1:{}"])
def test_nobody_there_is_an_error_without_the_query(address: str) -> None:
    with pytest.raises(HttpError) as failed:
        _get(address.format(free_port()))
    assert SECRET not in str(failed.value)
