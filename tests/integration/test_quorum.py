"""A controller asked directly, and topics copied to more brokers, against a real node."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from integration.services.broker import Broker
from market_pulse import quorum
from market_pulse.errors import NodeError
from market_pulse.probes.kafka import ControllerProbe
from support.ports import free_port


def controller_of(broker: Broker) -> str:
    assert broker.settings.kafka_controller_listener is not None
    return broker.settings.kafka_controller_listener


def ask(broker: Broker, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"market_pulse.{module}", *arguments],
        env=broker.own_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_controller_says_who_votes(broker: Broker) -> None:
    voters = quorum.voters(broker.settings.node_login(controller_of(broker)))
    assert voters is not None
    assert list(voters) == [1]
    probe = ControllerProbe(broker.settings, controller_of(broker))
    assert probe() == (True, "serving: node 1 leads a quorum of 1")


def test_nobody_there_is_a_verdict(broker: Broker) -> None:
    verdict = ControllerProbe(broker.settings, f"127.0.0.1:{free_port()}")()
    assert not verdict.healthy
    assert verdict.sentence.startswith("no answer: ")


def test_the_command_returns_when_the_node_votes(broker: Broker) -> None:
    meta = broker.log.parent / "data" / "meta.properties"
    nobody = f"127.0.0.1:{free_port()}"
    done = ask(broker, "quorum", str(meta), f"{nobody},{controller_of(broker)}")
    assert (done.returncode, done.stderr) == (os.EX_OK, "")


def test_a_directory_that_does_not_vote_is_named(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum, "_VOTE_SECONDS", 1)
    former = uuid.uuid4()
    with pytest.raises(NodeError, match=rf"node 1, with the directory {former}, does not vote .* voters are \[1\]"):
        quorum.await_vote(broker.settings, [controller_of(broker)], (1, former))


@pytest.mark.parametrize(
    ("factor", "code", "said"),
    [([], os.EX_OK, ""), (["1"], os.EX_OK, ""), (["2"], os.EX_CONFIG, "there are brokers [1], "), (["x"], 2, "usage")],
)
def test_topics_on_enough_brokers_are_left_alone(
    broker: Broker, topic: str, factor: list[str], code: int, said: str
) -> None:
    done = ask(broker, "replicas", *factor)
    assert topic
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_file_that_is_none_is_named(broker: Broker, tmp_path: Path) -> None:
    done = ask(broker, "quorum", str(tmp_path / "meta.properties"), controller_of(broker))
    assert done.returncode == os.EX_CONFIG
    assert "meta.properties" in done.stderr
