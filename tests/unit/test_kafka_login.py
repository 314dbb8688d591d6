"""What kept a client from connecting, by what it tells its log of each attempt."""

import logging
from pathlib import Path

import pytest
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, RequestTimedOutError

from market_pulse.kafka_login import Login, RefusedError, explained

LOGIN = Login("127.0.0.1:9092", Path("ca.crt"), "web", "a guess")
CUT_OFF = KafkaConnectionError("socket disconnected")
NOBODY = KafkaConnectionError("connection refused")
NO_TIME = RequestTimedOutError("Request timed out after 12 ms")


def connect(*attempts: KafkaError) -> None:
    """Fail to connect as kafka-python does."""
    with explained(LOGIN):
        for error in attempts:
            logging.getLogger("kafka.net.manager").warning("Bootstrap connection to %s failed: %s", "node", error)
        raise KafkaTimeoutError("Unable to bootstrap")


@pytest.mark.parametrize("attempts", [(CUT_OFF, CUT_OFF), (NOBODY, CUT_OFF, CUT_OFF), (CUT_OFF, CUT_OFF, NO_TIME)])
def test_who_is_cut_off_at_each_login_has_a_wrong_password(attempts: tuple[KafkaError, ...]) -> None:
    with pytest.raises(RefusedError, match="ends each session of web at its login, as by a wrong password"):
        connect(*attempts)


@pytest.mark.parametrize("attempts", [(), (CUT_OFF,), (CUT_OFF, NOBODY, CUT_OFF), (CUT_OFF, CUT_OFF, NOBODY)])
def test_a_broker_that_restarts_refuses_nobody(attempts: tuple[KafkaError, ...]) -> None:
    with pytest.raises(KafkaTimeoutError):
        connect(*attempts)
