"""How fast bars get from the vendor's answers to Kafka's acknowledgement, through archive and outbox.

Run by ``make bench``. The real daemon plays recorded answers, of a month of minutes each; compared with the client
library alone, which has the same records ready in memory, and neither archive nor outbox.
"""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from bench.comparing import Compared, parser, run
from bench.method import Pair, Rate, in_turn, summary
from bench.rounds import WrongTableError
from bench.way import Stack
from bench.workload import PARTITIONS
from integration.daemon_processes import KEY, Daemon, producer_of_folder, record, records
from integration.services.broker import Broker
from market_pulse.contract import Bar, Interval, decode
from market_pulse.kafka_login import Principal
from market_pulse.producer.publisher import CONFIGURATION
from market_pulse.sessions import Sessions
from market_pulse.settings import Plan
from market_pulse.simulator.api import Terms, VendorApi
from market_pulse.simulator.market import SimulatedMarket

_ALONE = "kafka-python alone"
_PAUSE_SECONDS = 0.05
_MOST_SECONDS = 600
# After a month that has ended, so that all of its bars are final.
_ASKED_AT = datetime(2026, 5, 1, 6, tzinfo=UTC)
_QUESTION = {
    "function": "TIME_SERIES_INTRADAY",
    "interval": Interval.ONE_MINUTE.value,
    "datatype": "csv",
}
_places = count()


def record_answers(folder: Path, symbols: int, scratch: Path) -> int:
    """Put a month's answer of each of so many symbols into a folder, as the vendor gives it.

    Return how many records they become: each bar, and for each answer one that says what it held.
    """
    expected = 0
    names = [f"S{number:04}" for number in range(symbols)]
    market = SimulatedMarket(7, Sessions.load("XNYS", date(2026, 1, 2)))
    vendor = VendorApi(market, Terms(KEY, frozenset(names), Plan.PREMIUM, calls_per_minute=1_000_000))
    for name in names:
        query = {**_QUESTION, "symbol": name, "outputsize": "full", "apikey": KEY, "entitlement": "realtime"}
        answer = scratch / f"{name}.csv"
        answer.write_text(vendor.reply(query, _ASKED_AT).body)
        # In the place of the line with the columns' names comes the one that says what the answer held.
        expected += len(answer.read_text().splitlines())
        record(folder, answer, fetched_at=_ASKED_AT, symbol=name, **_QUESTION)
    return expected


@dataclass
class Playing:
    """A folder of answers that is played again and again, each time into another topic, by another producer."""

    broker: Broker
    folder: Path
    directory: Path
    peaks: list[int] = field(default_factory=list)
    told: list[ConsumerRecord] = field(default_factory=list)

    def by_the_daemon(self, expected: int) -> float:
        """Return how many seconds the producer takes for so many records, of which the first few are not measured.

        `told` are the records that came, and `peaks` gets the most of its memory, in MiB.
        """
        with _topic(self.broker) as topic:
            daemon = producer_of_folder(self.folder, self.directory / f"producer-{next(_places)}", self.broker, topic)
            with daemon.running(ready=False):
                seconds = _seconds(self.broker, topic, expected, daemon)
                assert daemon.process is not None
                self.peaks.append(_peak_mebibytes(daemon.process.pid))
                daemon.end(signal.SIGTERM)
            if not self.told:
                self.told = records(self.broker, topic)
                found = sum(isinstance(decode(each.key, each.value), Bar) for each in self.told)
                if found != expected - len(list(self.folder.glob("*.csv"))):
                    raise WrongTableError(f"the producer sent {found} bars of {expected} records")
        return seconds

    def by_the_library(self) -> float:
        """Return how many seconds the client took for the same records, with the producer's own settings of it."""
        options = self.broker.login(Principal.PRODUCER).options
        with _topic(self.broker) as topic, contextlib.closing(KafkaProducer(**options, **CONFIGURATION)) as producer:
            began = time.perf_counter()
            for each in [producer.send(topic, key=each.key, value=each.value) for each in self.told]:
                each.get(timeout=_MOST_SECONDS)
            return time.perf_counter() - began


@contextlib.contextmanager
def _topic(broker: Broker) -> Iterator[str]:
    topic = broker.create_topic(PARTITIONS)
    yield topic
    broker.delete_topic(topic)


def _seconds(broker: Broker, topic: str, expected: int, daemon: Daemon) -> float:
    """Return how long all would have taken, by how long those took that came after the first look at the topic."""
    until, began, first = time.monotonic() + _MOST_SECONDS, 0.0, 0
    with contextlib.closing(KafkaConsumer(**broker.options)) as consumer:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        while (arrived := sum(consumer.end_offsets(places).values())) < expected:
            if arrived and not first:
                first, began = arrived, time.perf_counter()
            assert daemon.process is not None
            if daemon.process.poll() is not None or time.monotonic() > until:
                raise WrongTableError(f"the producer sent {arrived} of {expected} records: {daemon.log[-2000:]}")
            time.sleep(_PAUSE_SECONDS)
        seconds = time.perf_counter() - began
    if not first:
        raise WrongTableError(f"all {expected} records had come before the first look: too few to be measured")
    return seconds * expected / (expected - first)


def _peak_mebibytes(process: int) -> int:
    (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def against_the_library(services: Stack, directory: Path, wish: argparse.Namespace) -> Iterator[Compared[Rate]]:
    """Compare the producer with its client library."""
    folder, scratch = directory / "answers", directory / "scratch"
    scratch.mkdir()
    expected = record_answers(folder, wish.symbols, scratch)
    playing = Playing(services.broker, folder, directory)
    playing.by_the_daemon(expected)
    playing.by_the_library()
    daemon, library = partial(playing.by_the_daemon, expected), playing.by_the_library
    pairs = [Pair(*in_turn(number, daemon, library)) for number in range(wish.pairs)]
    day = datetime.now(UTC).date().isoformat()
    yield [summary(("a month's answers", _ALONE), expected, pairs, rewritten=0, day=day)], []
    print(f"the producer's memory: {max(playing.peaks)} MiB at most")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command is told."""
    made = parser(__doc__)
    made.add_argument("--symbols", type=int, default=10, help="how many answers are played, of a month each")
    return made.parse_args(words)


def main(wish: argparse.Namespace) -> int:
    """Measure it."""
    return run(Rate, "producer", lambda *place: against_the_library(*place, wish), is_written=wish.write)


if __name__ == "__main__":
    sys.exit(main(arguments()))
