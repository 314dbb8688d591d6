"""One HTTP GET with a deadline for all of it, a cap on its size, no redirects, and no word about its query.

The key is part of the query, so neither an exception nor a log line may hold the address that was asked.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter

_CHUNK_BYTES = 65_536
_OK = 200
# The header has whole seconds, and two clocks that are kept right differ by less.
CLOCKS_DIFFER_SECONDS = 5.0
# A resolver that does not answer holds a thread for less than a minute.
_MAX_ABANDONED = 8

# Its lines, warnings among them, hold the address; what an operator needs of it our own events say.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class HttpError(Exception):
    """There is no answer, or it is not a plain 200; the message is free of the address.

    `status` is the answer's, None where there was none; `body` is what arrived of it, which may be cut off.
    """

    def __init__(self, sentence: str, status: int | None = None, body: bytes = b"") -> None:
        """Keep what arrived beside the sentence."""
        super().__init__(sentence)
        self.status = status
        self.body = body


class HttpClient:
    """Asks one address, with keep-alive.

    `ahead` is by how many seconds this host's clock was ahead of the server's at the last answer; 0 where both agree,
    or where nothing shows it.
    """

    def __init__(self, address: str, *, deadline_seconds: float, max_bytes: int) -> None:
        """Ask at `address`, such as ``https://www.alphavantage.co``, within a total deadline per request."""
        self._address = address.rstrip("/")
        self._deadline = deadline_seconds
        self._max_bytes = max_bytes
        self._session = _AbortableSession()
        self._abandoned: list[threading.Thread] = []
        self.ahead = 0.0

    def get(self, path: str, query: Mapping[str, str], deadline_seconds: float | None = None) -> bytes:
        """Return the body of the answer, within the client's deadline or this request's own.

        Raises:
            HttpError: refused, timed out, too large, compressed, or with another status than 200.
        """
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if len(self._abandoned) >= _MAX_ABANDONED:
            raise HttpError(f"{len(self._abandoned)} requests before still wait, most likely for the address of a name")
        started, deadline = time.monotonic(), deadline_seconds or self._deadline
        outcome: Future[bytes] = Future()
        # A per-read timeout is no deadline, for a server may send a byte a second; and nothing ends a resolver's wait.
        arguments = (outcome, self._session, path, query, deadline)
        thread = threading.Thread(target=self._work, args=arguments, daemon=True)
        thread.start()
        if not wait([outcome], deadline).done:
            self._abandoned.append(thread)
            self._session.abort()
            self._session = _AbortableSession()
            raise HttpError(f"no whole answer within {deadline:g} s")
        try:
            self.ahead = self._session.ahead
            return outcome.result()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise HttpError(f"{_cause(error)} after {time.monotonic() - started:.1f} s") from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _work(
        self,
        outcome: Future[bytes],
        session: "_AbortableSession",
        path: str,
        query: Mapping[str, str],
        deadline: float,
    ) -> None:
        try:
            outcome.set_result(self._get(session, path, query, deadline))
        except Exception as error:  # noqa: BLE001 - it is raised again where the outcome is awaited
            outcome.set_exception(error)
        if session.aborted:
            session.close()

    def _get(self, session: "_AbortableSession", path: str, query: Mapping[str, str], deadline: float) -> bytes:
        sent = time.time()
        response = session.get(
            self._address + path,
            params=dict(query),
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
            stream=True,
            # Only for the thread's own end: the deadline is kept by who waits for it.
            timeout=2 * deadline,
        )
        session.response = response
        session.ahead = _ahead(sent, response.headers)
        with response:
            wrong_status = None if response.status_code == _OK else f"HTTP status {response.status_code}"
            if response.headers.get("Content-Encoding", "identity") != "identity":
                # What is compressed could hide the key from whoever keeps it.
                raise HttpError(
                    wrong_status or "the answer is compressed, which was not asked for", response.status_code
                )
            body, cut = self._read(response)
            if flaw := wrong_status or cut:
                raise HttpError(flaw, response.status_code, body)
            return body

    def _read(self, response: requests.Response) -> tuple[bytes, str | None]:
        """Return the body as far as it goes, and what is wrong with it."""
        body = bytearray()
        try:
            while chunk := response.raw.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._max_bytes:
                    return bytes(body), f"the answer is larger than {self._max_bytes} bytes"
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return bytes(body), f"{_cause(error)} after {len(body)} bytes"
        return bytes(body), None


class _AbortableSession(requests.Session):
    """A session that another thread can end, whatever its own is waiting for."""

    def __init__(self) -> None:
        super().__init__()
        # Neither proxies nor credentials are taken from what happens to be in the environment.
        self.trust_env = False
        self.aborted = False
        self.ahead = 0.0
        self.response: requests.Response | None = None
        self._adapter = _AbortableAdapter()
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - wherever it points
        """Return that nothing is a redirect: even to refuse one, its body would be read whole, however large."""
        return

    def abort(self) -> None:
        """Cut every connection."""
        self.aborted = True
        self._adapter.abort()
        # A connection that ends with its answer has handed its socket over to the response.
        response = self.response
        if response is not None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                response.raw.shutdown()


class _AbortableAdapter(HTTPAdapter):
    """Keeps hold of its connections, so that another thread can cut them."""

    def __init__(self) -> None:
        self._connections: WeakSet[Any] = WeakSet()
        self._aborted = False
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        # An instance attribute over the class's own: this pool makes connections that are remembered.
        pool.ConnectionCls = self._remembering(type(pool).ConnectionCls)
        return pool

    def abort(self) -> None:
        """Cut every connection, whatever its thread is waiting for; what still connects will not ask."""
        self._aborted = True
        for connection in list(self._connections):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _remembering(self, make: Any) -> Any:
        def remembered(*args: Any, **kwargs: Any) -> Any:
            connection = make(*args, **kwargs)
            connection.connect = partial(self._connect, connection, connection.connect)
            self._connections.add(connection)
            return connection

        return remembered

    def _connect(self, connection: Any, connect: Any) -> None:
        connect()
        if self._aborted:
            connection.close()
            raise ConnectionAbortedError


def _ahead(sent: float, headers: Mapping[str, str]) -> float:
    """Return by how many seconds a request was sent after its answer was dated, 0 if that is no more than usual."""
    try:
        # An answer from a cache is as old as it says.
        dated = parsedate_to_datetime(headers["Date"]).timestamp() + float(headers.get("Age", 0))
    except (KeyError, ValueError):
        return 0.0
    return sent - dated if sent - dated > CLOCKS_DIFFER_SECONDS else 0.0


def _cause(error: BaseException) -> str:
    """Return the kind of the innermost error: unlike the messages around it, it has nothing of the address."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
        if inner is None:
            return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        error = inner
