"""The simulator over HTTP: the vendor's API at /query, and /health for the daemon's own watchdog."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from market_pulse import progress
from market_pulse.clock import Clock
from market_pulse.notify import Notifier
from market_pulse.simulator.api import VendorApi

# Uvicorn asks at most once per whole second; a beat every two is well within any watchdog.
_BEAT_SECONDS = 1
_ANSWER_SECONDS = 5
_GRACEFUL_SECONDS = 3


class Simulator:
    """The vendor's API on a clock, counting what it answered."""

    def __init__(self, api: VendorApi, clock: Clock) -> None:
        """Serve an API at the clock's time."""
        self._api = api
        self._clock = clock
        self.calls = 0
        # GET alone, as Alpha Vantage; Starlette answers everything else itself.
        self.application = Starlette(routes=[Route("/query", self._query), Route("/health", self._health)])

    async def _query(self, request: Request) -> Response:
        self.calls += 1
        reply = self._api.reply(request.query_params, self._clock.now())
        headers = {"Content-Disposition": f"attachment; filename={reply.filename}"} if reply.filename else {}
        # The vendor names no character set, so the header is given whole.
        return Response(reply.body, headers={"Content-Type": reply.content_type, **headers})

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"calls": self.calls, "market_time": self._clock.now().isoformat(timespec="seconds")})


class Heartbeat:
    """Uvicorn's callback: asks the simulator over its own socket, and lets systemd know only when it answered."""

    def __init__(self, address: tuple[str, int], notifier: Notifier, progress_file: Path | None) -> None:
        """Ask at an address, for a notifier and a progress file."""
        self._address = address
        self._notifier = notifier
        self._progress_file = progress_file
        self._ready = False

    async def __call__(self) -> None:
        """Beat once: a daemon that does not answer itself stays silent, and the watchdog ends it."""
        facts = await self._ask()
        if facts is None:
            self._notifier.status("not answering")
            return
        market_time = datetime.fromisoformat(facts["market_time"])
        sentence = f"serving: market time {market_time:%Y-%m-%d %H:%M} UTC, {facts['calls']} calls"
        if self._ready:
            self._notifier.status(sentence)
        else:
            self._notifier.ready(sentence)
            self._ready = True
        self._notifier.watchdog()
        if self._progress_file:
            progress.write(self._progress_file, facts)

    async def _ask(self) -> dict[str, str] | None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(*self._address)
                with contextlib.closing(writer):
                    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            facts: dict[str, str] = json.loads(body)
            return facts if b" 200 " in head else None
        return None


def serve(simulator: Simulator, listening: socket.socket, heartbeat: Callable[[], object]) -> None:
    """Serve on a socket that already listens, until SIGTERM."""
    config = uvicorn.Config(
        simulator.application,
        # The access log would print the key, which is in the query.
        access_log=False,
        callback_notify=heartbeat,  # type: ignore[arg-type]
        lifespan="off",
        limit_concurrency=100,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        timeout_notify=_BEAT_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])
