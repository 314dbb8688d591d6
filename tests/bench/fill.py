"""The harness's side of `bench.feeder` and `bench.sender`."""

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import IO

from bench.tools import python_of
from bench.workload import Feed, Load
from integration.services.broker import Broker
from support.repository import ROOT

# The longest that a broker allows by default.
_TRANSACTION_MILLISECONDS = 900_000


@dataclass(frozen=True)
class Feeder:
    """A running feeder, which may do everything on the broker."""

    wishes: IO[str]
    answers: IO[str]

    def fill(self, topic: str, load: Load) -> None:
        """Write a round's records; no way sees them before `commit`."""
        self._ask(json.dumps({"topic": topic, **asdict(load)}), "filled")

    def commit(self) -> None:
        """Make them visible, all at once."""
        self._ask("", "committed")

    def _ask(self, line: str, expected: str) -> None:
        self.wishes.write(f"{line}\n")
        self.wishes.flush()
        answer = self.answers.readline().strip()
        assert answer == expected, f"the feeder said {answer!r} for {expected}"


@dataclass(frozen=True)
class Sender:
    """A running sender, which may do everything on the broker."""

    wishes: IO[str]
    answers: IO[str]

    def send(self, feed: Feed) -> list[float]:
        """Send a feed's bars, and return when each was sent, by the clock `time.monotonic`, when all are written."""
        self.wishes.write(json.dumps(asdict(feed)) + "\n")
        self.wishes.flush()
        times: list[float] = json.loads(self.answers.readline())
        return times


@contextlib.contextmanager
def feeder(broker: Broker) -> Iterator[Feeder]:
    """Run a feeder until the block ends."""
    more = {
        "transactional.id": "bench-feeder",
        "transaction.timeout.ms": _TRANSACTION_MILLISECONDS,
        "linger.ms": 20,
        "batch.size": 200_000,
        "queue.buffering.max.messages": 500_000,
    }
    with _program("feeder", broker, more) as streams:
        yield Feeder(*streams)


@contextlib.contextmanager
def sender(broker: Broker) -> Iterator[Sender]:
    """Run a sender until the block ends."""
    with _program("sender", broker, {"enable.idempotence": True, "linger.ms": 0}) as streams:
        yield Sender(*streams)


@contextlib.contextmanager
def _program(name: str, broker: Broker, more: Mapping[str, object]) -> Iterator[tuple[IO[str], IO[str]]]:
    login = broker.settings.broker_login
    client = {
        "bootstrap.servers": login.servers,
        "security.protocol": "SSL",
        "ssl.ca.location": str(login.authority),
        "ssl.certificate.location": str(login.keystore),
        "ssl.key.location": str(login.keystore),
        # It warns of topics that are gone and of a coordinator that is still to come.
        "log_level": 3,
        **more,
    }
    with subprocess.Popen(
        [python_of("confluent"), ROOT / "tests" / "bench" / f"{name}.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'daemons'}"},
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(client) + "\n")
        yield process.stdin, process.stdout
