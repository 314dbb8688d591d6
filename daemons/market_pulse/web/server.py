"""The daemon's loop: two listeners in one process, and a word to systemd while all of it moves on.

They are two and not one because their readers are two: the market's page may be opened to the network, and the Kafka
page, which shows how the pipeline is built and every record of the topic, never is.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from market_pulse import log, progress
from market_pulse.notify import Notifier
from market_pulse.web.feed import Feed
from market_pulse.web.hub import Hub
from market_pulse.web.protocol import MOST_FRAME_BYTES

_BEAT_SECONDS = 2.0
_ANSWER_SECONDS = 5.0
_GRACEFUL_SECONDS = 3
# Requests to Kafka end after ten seconds, and two may follow each other.
_FEED_SECONDS = 45.0
_START_SECONDS = 60.0
_MOST_CONNECTIONS = 500
# A reader whose network swallows everything is gone after so long.
_DEAD_PEER_MILLISECONDS = 30_000
# Of each connection; left to itself the kernel would keep megabytes for a reader who does not read.
_SEND_BUFFER_BYTES = 128 * 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listener:
    """An application and where it is reached; with a file of key and certificate it speaks TLS."""

    app: ASGIApp
    address: tuple[str, int]
    keystore: Path | None = None


class _Server(uvicorn.Server):
    """Leaves signals to the daemon, which has more than one server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Heart:
    """Lets systemd know as long as every listener answers itself and the feed works."""

    def __init__(
        self, listeners: list[Listener], feed: Feed, hub: Hub, notifier: Notifier, report: Path | None
    ) -> None:
        """Look at these, and write what is known to a file as well, if there is one."""
        self._listeners = listeners
        self._feed = feed
        self._hub = hub
        self.notifier = notifier
        self._report = report
        self._is_ready = False
        self._beats, self._moved_at = feed.beats, time.monotonic()

    async def beat(self, stopping: asyncio.Event) -> None:
        """Look again and again, until it is told to stop or the feed has ended."""
        while not stopping.is_set() and self._feed.failure is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _BEAT_SECONDS)
            if not stopping.is_set() and not await self._is_hanging():
                self._tell()

    async def _is_hanging(self) -> bool:
        if self._feed.beats != self._beats:
            self._beats, self._moved_at = self._feed.beats, time.monotonic()
        silent = [f"{at.address[0]}:{at.address[1]}" for at in self._listeners if not await _answers(at)]
        if silent:
            self.notifier.status(f"not answering at {', '.join(silent)}")
        elif time.monotonic() - self._moved_at > _FEED_SECONDS:
            self.notifier.status("the feed hangs")
        else:
            return False
        return True

    def _tell(self) -> None:
        trouble = self._feed.trouble
        doing = f"serving: {self._hub.readers} readers, {self._hub.received} bars received"
        sentence = f"degraded: {trouble}" if trouble else doing
        if self._is_ready:
            self.notifier.status(sentence)
            self.notifier.watchdog()
        elif self._hub.ring is not None:
            self.notifier.ready(sentence)
            self._is_ready = True
        else:
            self.notifier.status(f"starting: {trouble}")
            self.notifier.extend_start(_START_SECONDS)
        if self._report is not None:
            facts = {"readers": self._hub.readers, "received": self._hub.received, "trouble": trouble}
            progress.write(self._report, facts)


async def serve(listeners: list[Listener], feed: Feed, heart: Heart) -> None:
    """Serve until SIGTERM or until the feed ends.

    Raises:
        OSError: an address is taken.
        BaseException: what ended the feed.
    """
    with contextlib.ExitStack() as sockets:
        servers = [_Server(_config(listener)) for listener in listeners]
        bound = [sockets.enter_context(_listening(listener.address)) for listener in listeners]
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        feed.start()
        running = [asyncio.create_task(each.serve([at])) for each, at in zip(servers, bound, strict=True)]
        beating = asyncio.create_task(heart.beat(stopping))
        try:
            await asyncio.wait([*running, beating], return_when=asyncio.FIRST_COMPLETED)
        finally:
            heart.notifier.stopping()
            feed.stop()
            stopping.set()
            for each in servers:
                each.should_exit = True
            await asyncio.gather(*running)
            await beating
            log.event(_log, logging.INFO, "stopped")
    if feed.failure is not None:
        raise feed.failure


async def _answers(listener: Listener) -> bool:
    """Ask a listener over its own socket, as a reader would, whom its certificate need not convince."""
    context = None
    if listener.keystore is not None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = listener.address
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            with contextlib.closing(writer):
                writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
    return False


def _listening(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.create_server(address, family=family, backlog=128)
    # What a listener has, its connections inherit.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MILLISECONDS)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    return listening


def _config(listener: Listener) -> uvicorn.Config:
    return uvicorn.Config(
        listener.app,
        access_log=False,
        lifespan="off",
        limit_concurrency=_MOST_CONNECTIONS,
        log_config=None,
        log_level="warning",
        server_header=False,
        ssl_certfile=listener.keystore,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        ws="websockets-sansio",
        ws_max_size=MOST_FRAME_BYTES,
        # A reader may ask for compression and answer with bombs; bars are short.
        ws_per_message_deflate=False,
    )
