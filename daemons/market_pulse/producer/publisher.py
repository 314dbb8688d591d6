"""Sends what waits in the outbox to the topic, and lets a bar go when the broker has confirmed that very bar."""

import contextlib
import logging
import time
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from market_pulse import kafka_login, log
from market_pulse.kafka_login import Login
from market_pulse.producer.outbox import Message, Outbox

# So many bars are on their way at once, and no more before each of them is confirmed or has failed.
_FLIGHT_BARS = 2_000
# Of the client: each bar is written once and in order, and a wait ends soon.
CONFIGURATION = {
    "acks": "all",
    "enable_idempotence": True,
    "allow_auto_create_topics": False,
    "linger_ms": 5,
    # Short, so that the loop that waits comes round for the watchdog and for SIGTERM.
    "bootstrap_timeout_ms": 2_000,
    "max_block_ms": 2_000,
    "request_timeout_ms": 8_000,
    "delivery_timeout_ms": 10_000,
    "reconnect_backoff_max_ms": 2_000,
}
# The client fails every future after delivery_timeout_ms; one that has not by then never will.
_GIVE_UP_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Publisher:
    """One writer to one topic; a bar may arrive twice after a failure, and never not at all."""

    def __init__(self, outbox: Outbox, login: Login, topic: str) -> None:
        """Publish an outbox to a topic."""
        # The client logs every attempt to reconnect; that a broker is away our own events say once.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self._outbox = outbox
        self._login = login
        self._topic = topic
        self._producer: KafkaProducer | None = None
        self._flight: list[tuple[Message, Any]] = []
        self._sent_at = 0.0
        self._failed: dict[str, BaseException] = {}
        self._retry_at = 0.0
        self._away_since: float | None = None
        self._refusal: str | None = None
        self._unconfirmed_since: float | None = None

    @property
    def connected(self) -> bool:
        """Return whether the broker has answered, and has not failed since."""
        return self._producer is not None

    @property
    def away_seconds(self) -> float | None:
        """Return for how long the broker has not answered, or has refused what is sent; None while it takes it."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    @property
    def refusal(self) -> str | None:
        """Return what the broker that does not answer as it should has refused, and to whom; None if it is silent."""
        return self._refusal

    @property
    def unconfirmed_seconds(self) -> float:
        """Return for how long bars have waited without any being confirmed."""
        return 0.0 if self._unconfirmed_since is None else time.monotonic() - self._unconfirmed_since

    def round(self, seconds: float) -> int:
        """Send and await confirmations for at most about `seconds`; return how many bars were confirmed."""
        until = time.monotonic() + seconds
        confirmed = 0
        while self._flight or self._depart():
            confirmed += self._arrive(until)
            if self._flight or time.monotonic() >= until:
                break
        if not self._outbox.waiting:
            self._unconfirmed_since = None
        elif self._unconfirmed_since is None:
            self._unconfirmed_since = time.monotonic()
        return confirmed

    def connect(self) -> KafkaProducer | None:
        """Reach the broker, unless that is done or was tried a moment ago; return None if it does not answer."""
        if self._producer is None and time.monotonic() >= self._retry_at:
            try:
                with kafka_login.explained(self._login):
                    self._producer = KafkaProducer(**self._login.options, **CONFIGURATION)
            except KafkaError as error:
                self._stumble(error)
            else:
                # With bars waiting, only a confirmed one shows that all is well again.
                if not self._outbox.waiting:
                    self._recover()
        return self._producer

    def close(self) -> None:
        """Leave: what is not confirmed stays in the outbox."""
        self._discard()

    def _depart(self) -> bool:
        """Send the next bars; return whether any are on their way."""
        messages = self._outbox.oldest(_FLIGHT_BARS)
        producer = self.connect() if messages else None
        if producer is None:
            return False
        self._failed.clear()
        self._sent_at = time.monotonic()
        for message in messages:
            try:
                future = producer.send(self._topic, key=message.symbol.encode(), value=message.value)
            except KafkaError as error:
                # Nothing of this symbol may overtake, and the rest would only wait as long again.
                self._failed[message.symbol] = error
                break
            self._flight.append((message, future))
        if not self._flight:
            self._land()
        return bool(self._flight)

    def _arrive(self, until: float) -> int:
        """Await the bars on their way, in their order; let go of each that is confirmed."""
        confirmed = []
        while self._flight:
            message, future = self._flight[0]
            if not future.is_done and not self._await(future, until):
                break
            self._flight.pop(0)
            if future.failed():
                self._failed.setdefault(message.symbol, future.exception)
            # A bar that was written behind a lost one is sent again after it: per symbol the order stays.
            elif message.symbol not in self._failed:
                confirmed.append(message.id)
        self._outbox.remove(confirmed)
        if confirmed:
            self._unconfirmed_since = None
        if not self._flight:
            self._land()
        elif time.monotonic() - self._sent_at > _GIVE_UP_SECONDS:
            self._discard()
        return len(confirmed)

    @staticmethod
    def _await(future: Any, until: float) -> bool:
        # Raised for a failed bar as well as for one that is still on its way.
        with contextlib.suppress(KafkaError):
            future.get(timeout=max(0.0, until - time.monotonic()))
        return bool(future.is_done)

    def _land(self) -> None:
        """Close the books on a flight."""
        if self._failed:
            self._stumble(next(iter(self._failed.values())))
            # A client that has lost something starts anew; what it still knows could only confuse the order.
            self._discard()
        else:
            self._recover()

    def _recover(self) -> None:
        if self._away_since is not None:
            log.event(_log, logging.INFO, "broker answers again", waiting=self._outbox.waiting)
            self._away_since = self._refusal = None

    def _stumble(self, error: BaseException) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        before, self._refusal = self._refusal, kafka_login.refusal(self._login, error)
        is_news = self._away_since is None or (self._refusal and not before)
        if self._away_since is None:
            self._away_since = time.monotonic()
        if is_news:
            name = "refused by the broker" if self._refusal else "broker does not answer"
            log.event(_log, logging.WARNING, name, waiting=self._outbox.waiting, reason=self._refusal or error)

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=_CLOSE_SECONDS)
        except KafkaError:
            # close() gives up when its flush does, and leaves its thread running: end that first.
            producer._sender.force_close()  # noqa: SLF001 - the client has no other way
            producer.close(timeout=_CLOSE_SECONDS)
