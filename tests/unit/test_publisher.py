"""What leaves the outbox, against a client whose confirmations come from a script."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError

from market_pulse.contract import AnswerRecord
from market_pulse.kafka_login import Login
from market_pulse.producer import publisher as module
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.publisher import Publisher
from market_pulse.producer.store import Store

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)


class _Future:
    is_done = True

    def __init__(self, error: KafkaError | None) -> None:
        self.exception = error

    def failed(self) -> bool:
        return self.exception is not None


class _Client:
    """Confirms every record but those that `fails` names, by symbol and number of the sending."""

    sent: list[tuple[str, bytes]]
    fails: Callable[[str, int], bool]

    def __init__(self, **_: object) -> None:
        pass

    def send(self, _: str, *, key: bytes, value: bytes) -> _Future:
        type(self).sent.append((key.decode(), value))
        return _Future(KafkaTimeoutError() if type(self).fails(key.decode(), len(type(self).sent)) else None)

    def close(self, timeout: float) -> None:
        pass


def _record(symbol: str, name: str) -> AnswerRecord:
    facts: dict[str, Any] = dict.fromkeys(("month", "refusal", "sha256", "covers_from", "covers_until"))
    facts |= {"v": 1, "source": "simulator", "request_id": name, "cause": "poll", "function": "GLOBAL_QUOTE"}
    facts |= {"symbol": symbol, "interval": "1min", "asked_at": NOON, "fetched_at": NOON}
    return AnswerRecord(**facts, rows=0, told=0, unusable=0)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    outbox = Outbox(Store(tmp_path / "producer.sqlite3"), 100)
    for number, symbol in enumerate(("IBM", "MSFT", "IBM", "MSFT", "IBM")):
        outbox.take((), _record(symbol, f"r{number}"))
    return outbox


@pytest.fixture
def publisher(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    monkeypatch.setattr(module, "KafkaProducer", _Client)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    _Client.sent, _Client.fails = [], lambda *_: False
    return Publisher(outbox, Login("127.0.0.1:1", Path(__file__), "producer", "none"), "market.bars")


def test_one_lost_record_among_good_ones_keeps_what_follows_of_its_symbol(publisher: Publisher, outbox: Outbox) -> None:
    _Client.fails = lambda _, count: count == 3
    assert publisher.round(0.0) == 3
    # The first of IBM and both of MSFT are gone; the lost one and the one behind it stay, in their order.
    assert [(message.id, message.symbol) for message in outbox.oldest(10)] == [(3, "IBM"), (5, "IBM")]
    assert not publisher.connected
    assert publisher.round(0.0) == 2
    assert outbox.waiting == 0
    assert [symbol for symbol, _ in _Client.sent[5:]] == ["IBM", "IBM"]
    assert _Client.sent[5:] == [_Client.sent[2], _Client.sent[4]]


def test_nothing_leaves_that_is_not_confirmed(publisher: Publisher, outbox: Outbox) -> None:
    _Client.fails = lambda *_: True
    assert publisher.round(0.0) == 0
    assert outbox.waiting == 5
