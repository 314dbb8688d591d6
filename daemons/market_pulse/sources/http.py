"""One HTTP GET with a deadline for all of it, a cap on its size, no redirects, and no word about its query.

The key is part of the query, so neither an exception nor a log line may hold the address that was asked.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter

_CHUNK_BYTES = 65_536
_OK = 200

# Its lines, warnings among them, hold the address; what an operator needs of it our own events say.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)


class HttpError(Exception):
    """There is no answer, or it is not a plain 200; the message is free of the address."""


class HttpClient:
    """Asks one address, with keep-alive."""

    def __init__(self, address: str, *, deadline_seconds: float, max_bytes: int) -> None:
        """Ask at `address`, such as ``https://www.alphavantage.co``, within a total deadline per request."""
        self._address = address.rstrip("/")
        self._deadline = deadline_seconds
        self._max_bytes = max_bytes
        self._session = requests.Session()
        # Neither proxies nor credentials are taken from what happens to be in the environment.
        self._session.trust_env = False
        self._response: requests.Response | None = None
        self._adapter = _AbortableAdapter()
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)

    def get(self, path: str, query: Mapping[str, str]) -> bytes:
        """Return the body of the answer.

        Raises:
            HttpError: refused, timed out, too large, compressed, or with another status than 200.
        """
        late = threading.Event()
        # A per-read timeout is no deadline: a server that sends a byte a second would hold us for hours.
        timer = threading.Timer(self._deadline, self._abort, args=(late,))
        timer.daemon = True
        timer.start()
        started = time.monotonic()
        try:
            body = self._get(path, query)
            if late.is_set():
                # Cut off, an answer without a length looks like one that has ended.
                raise HttpError(self._too_late())
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if late.is_set():
                raise HttpError(self._too_late()) from None
            elapsed = time.monotonic() - started
            raise HttpError(f"{_cause(error)} after {elapsed:.1f} s") from None
        else:
            return body
        finally:
            timer.cancel()
            self._response = None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        response = self._session.get(
            self._address + path,
            params=dict(query),
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
            stream=True,
            timeout=self._deadline,
        )
        self._response = response
        with response:
            if response.status_code != _OK:
                raise HttpError(f"HTTP status {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise HttpError("the answer is compressed, which was not asked for")
            body = bytearray()
            while chunk := response.raw.read1(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._max_bytes:
                    raise HttpError(f"the answer is larger than {self._max_bytes} bytes")
            return bytes(body)

    def _too_late(self) -> str:
        return f"no whole answer within {self._deadline:g} s"

    def _abort(self, late: threading.Event) -> None:
        late.set()
        self._adapter.abort()
        # A connection that ends with its answer has handed its socket over to the response.
        response = self._response
        if response is not None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                response.raw.shutdown()


class _AbortableAdapter(HTTPAdapter):
    """Keeps hold of its connections, so that another thread can cut them."""

    def __init__(self) -> None:
        self._connections: WeakSet[Any] = WeakSet()
        super().__init__(max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        # An instance attribute over the class's own: this pool makes connections that are remembered.
        pool.ConnectionCls = self._remembering(type(pool).ConnectionCls)
        return pool

    def abort(self) -> None:
        """Cut every connection, whatever its thread is waiting for."""
        for connection in list(self._connections):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _remembering(self, connect: Any) -> Any:
        def remembered(*args: Any, **kwargs: Any) -> Any:
            connection = connect(*args, **kwargs)
            self._connections.add(connection)
            return connection

        return remembered


def _cause(error: BaseException) -> str:
    """Return the kind of the innermost error: unlike the messages around it, it has nothing of the address."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
        if inner is None:
            return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        error = inner
