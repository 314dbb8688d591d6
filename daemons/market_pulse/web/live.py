"""The live channel: one WebSocket for each reader, as `market_pulse.web.protocol` says."""

import asyncio
import contextlib
import logging
from uuid import UUID
from zoneinfo import ZoneInfo

from starlette.websockets import WebSocket, WebSocketDisconnect

from market_pulse import log
from market_pulse.web import database, protocol
from market_pulse.web.feed import home
from market_pulse.web.hub import CutOffError, Hub, Reader
from market_pulse.web.protocol import FrameError, Ping, Pong, Problem, Resumed, Snapshot, Subscribe, Unsubscribe
from market_pulse.web.ring import Ring
from market_pulse.web.sessions import AwayError, Database

# Registered close codes: the reader broke a rule; there is no room, or he was too slow: he may try again.
_BROKE_A_RULE = 1008
_TRY_AGAIN = 1013
_SEND_SECONDS = 10.0
_CLOSE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Live:
    """Answers requests out of the ring and, where that does not reach, out of the database."""

    def __init__(self, hub: Hub, questions: Database, zone: ZoneInfo) -> None:
        """Serve what a hub is told."""
        self._hub = hub
        self._questions = questions
        self._zone = zone

    async def endpoint(self, socket: WebSocket) -> None:
        """Serve one connection until one side ends it."""
        await socket.accept()
        reader = Reader()
        try:
            self._hub.enter(reader)
            tasks = {asyncio.create_task(self._listen(socket, reader)), asyncio.create_task(self._tell(socket, reader))}
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass
        except CutOffError as error:
            await self._close(socket, _TRY_AGAIN, str(error))
        except FrameError as error:
            await self._close(socket, _BROKE_A_RULE, str(error))
        except TimeoutError:
            await self._close(socket, _TRY_AGAIN, f"slow reader: took nothing for {_SEND_SECONDS:.0f} s")
        finally:
            self._hub.leave(reader)

    async def _listen(self, socket: WebSocket, reader: Reader) -> None:
        bad = 0
        while True:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                raise WebSocketDisconnect(message.get("code", 1000))
            try:
                request = protocol.decode(message.get("text") or message.get("bytes") or "")
            except FrameError as error:
                bad += 1
                if bad >= protocol.MOST_BAD_FRAMES:
                    raise FrameError(f"{bad} frames were no requests") from None
                await _send(socket, protocol.encode(Problem(str(error))))
                continue
            if isinstance(request, Ping):
                await _send(socket, protocol.encode(Pong()))
            elif isinstance(request, Unsubscribe):
                self._hub.unsubscribe(reader, request.series)
            else:
                await self._begin(socket, reader, request)

    async def _begin(self, socket: WebSocket, reader: Reader, request: Subscribe) -> None:
        if self._hub.ring is None:
            reason = "nothing is live yet: Kafka or the database does not answer"
            await _send(socket, protocol.encode(Problem(reason, is_passing=True)))
            return
        # From here on nothing is missed: what comes while the database is asked waits behind the answer.
        async with reader.turn:
            self._hub.subscribe(reader, request.series)
            try:
                answer = await self.begin(self._hub.ring, request)
            except AwayError as error:
                self._hub.unsubscribe(reader, request.series)
                await _send(socket, protocol.encode(Problem(str(error), is_passing=True)))
                return
            await _send(socket, protocol.encode(answer))

    async def begin(self, ring: Ring, request: Subscribe) -> Snapshot | Resumed:
        """Return what a reader needs before he follows a series live.

        Raises:
            AwayError: it takes the database, and that does not answer.
        """
        partition = home(request.symbol, ring.partitions)
        if request.after is not None and request.stream == ring.stream:
            missed = ring.after(request.series, partition, request.after)
            if missed is not None:
                head = max(request.after, ring.head(partition))
                bars = [entry.bar for entry in missed]
                return Resumed(request.symbol, request.interval, ring.stream, head, bars)
        return await self._snapshot(ring, partition, request)

    async def _snapshot(self, ring: Ring, partition: int, request: Subscribe) -> Snapshot:
        stream = UUID(ring.stream)
        kept = await self._questions.ask(database.stored, self._zone, stream, request.series, request.bars)
        position = kept.positions.get(partition, 0)
        told = ring.entries(request.series)
        return Snapshot(
            request.symbol,
            request.interval,
            ring.stream,
            max(position - 1, ring.head(partition)),
            ring.joins(partition, position),
            protocol.merged(kept.bars, (entry.bar for entry in told), request.bars),
        )

    async def _tell(self, socket: WebSocket, reader: Reader) -> None:
        while True:
            entry = await reader.next()
            async with reader.turn:
                if self._hub.ring is not None and entry.series in reader.series:
                    await _send(socket, protocol.encode(protocol.live(entry, self._hub.ring.stream)))

    @staticmethod
    async def _close(socket: WebSocket, code: int, reason: str) -> None:
        log.event(_log, logging.INFO, "reader cut off", reason=reason)
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await socket.close(code, reason)
                # The reader's own farewell, without which the connection lingers, is behind all that he had sent.
                while (await socket.receive())["type"] == "websocket.receive":
                    pass


async def _send(socket: WebSocket, text: str) -> None:
    """Send a message, or give the reader up.

    Raises:
        TimeoutError: he took nothing.
        WebSocketDisconnect: he has gone.
    """
    async with asyncio.timeout(_SEND_SECONDS):
        await socket.send_text(text)
