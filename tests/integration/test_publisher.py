"""The producer's client library may wait for ever, and then another client goes on in its place."""

from pathlib import Path

import pytest
from kafka.producer.transaction_manager import TransactionState

from integration.daemon_processes import records
from integration.services.broker import Broker
from integration.services.records import answer
from market_pulse.kafka_login import Principal
from market_pulse.producer import publisher
from market_pulse.producer.outbox import Outbox
from market_pulse.producer.publisher import Publisher
from market_pulse.producer.store import Store
from support.waiting import eventually

# The client's thread is ended by force, and leaves its sockets.
pytestmark = [
    pytest.mark.usefixtures("left_sockets"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_client_that_waits_for_an_answer_that_was_lost_is_given_up(
    broker: Broker, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_GIVE_UP_SECONDS", 1.0)
    outbox = Outbox(Store(tmp_path / "producer.sqlite3"), 100)
    made = Publisher(outbox, broker.login(Principal.PRODUCER), topic)
    client = made.connect()
    assert client is not None
    state = client._transaction_manager  # noqa: SLF001 - there is no other way to it
    eventually(state.has_producer_id, within=20, what="the client may write", every=0.05)
    # Where kafka-python 3.0.12 stays if the node goes away that it asked for another epoch: nothing is sent or fails.
    state._current_state = TransactionState.BUMPING_PRODUCER_EPOCH  # noqa: SLF001
    outbox.take((), answer("IBM"))
    assert made.round(0.5) == 0
    assert made.connect() is client
    eventually(lambda: made.round(0.5) == 1, within=30, what="another client has sent it")
    assert made.connect() is not client
    assert outbox.waiting == 0
    assert [record.key for record in records(broker, topic)] == [b"IBM"]
    made.close()
