"""A daemon that Kafka does not let in: what it says, and what becomes of its bars."""

import re
import signal
from pathlib import Path

import pytest

from integration.daemon_processes import Daemon, producer_of, running_market
from integration.services.broker import Broker, password_of
from integration.services.consumer import consumer
from integration.services.database import Database
from market_pulse import access
from market_pulse.kafka_login import Principal
from support.waiting import eventually

pytestmark = [
    pytest.mark.usefixtures("left_sockets"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_producer_with_a_wrong_password_says_so_keeps_its_bars_and_delivers_them_with_the_right_one(
    broker: Broker, topic: str, tmp_path: Path
) -> None:
    with running_market(tmp_path / "simulator", speed=60) as market:
        daemon = producer_of(market, tmp_path / "producer", broker, topic)
        daemon.kafka_password = "a guess"
        with daemon.running():
            said = eventually(lambda: refusals(daemon), within=30, what="STATUS says who is refused")
            assert re.fullmatch(
                r"STATUS=degraded for .+ bars in the outbox: .*producer.* (password|credentials).*", said[0]
            )
            eventually(lambda: daemon.progress["outbox"], within=30, what="bars wait")
            assert daemon.end(signal.SIGTERM) == 0
        assert daemon.log.count("refused by the broker: ") == 1
        assert "guess" not in daemon.log
        daemon.kafka_password = password_of(Principal.PRODUCER)
        with daemon.running():
            eventually(lambda: daemon.progress["outbox"] == 0, within=30, what="they are delivered")
            with broker.admin() as admin:
                lacking = access.rights(topic) - {acl for acl in access.rights(topic) if "producer" in acl.principal}
                access.agree_on_acls(admin, lacking)
                said = eventually(lambda: refusals(daemon), within=60, what="STATUS says what is missing")
                assert "lets producer in, but not do this, for want of an ACL" in said[-1]
                access.agree_on_acls(admin, access.rights(topic))
            eventually(lambda: "broker answers again" in daemon.log, within=60, what="it goes on")


def refusals(daemon: Daemon) -> list[str]:
    return [line for line in daemon.told() if line.startswith("STATUS=degraded for ")]


@pytest.mark.parametrize(
    "broken", ["mp_kafka_password", pytest.param("mp_kafka_consumer_jaas", marks=pytest.mark.slow), "right"]
)
def test_a_consumer_that_is_refused_ends_with_a_sentence(
    broker: Broker, topic: str, database: Database, tmp_path: Path, broken: str
) -> None:
    if broken == "right":
        with broker.admin() as admin:
            access.agree_on_acls(admin, ())
        expected = "stopped: RefusedError: Kafka at .* lets consumer in, but not do this, for want of an ACL: "
    elif broken == "mp_kafka_password":
        expected = "stopped: RefusedError: Kafka at .* consumer.*(password|invalid credentials)"
    else:
        expected = "stopped: .*SaslAuthenticationException: Authentication failed .*invalid credentials"
    with consumer(tmp_path, broker, database, topic, passwords={broken: "a guess"}) as started:
        assert started.process.wait(120) == 1
    assert re.search(expected, started.log), started.log
    assert "guess" not in started.log
