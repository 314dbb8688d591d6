"""The simulator and the producer as their units run them: as processes, with an environment and a credential."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from integration.services.broker import Broker, password_of
from market_pulse import contract, progress
from market_pulse.contract import Bar, Rejection
from market_pulse.kafka_login import Principal
from market_pulse.producer import store
from market_pulse.producer.outbox import Outbox
from support.ports import free_port
from support.repository import ROOT
from support.waiting import eventually

KEY = "key-of-the-test"
SYMBOLS = ("AAPL", "IBM", "MSFT", "NVDA", "TSLA")
# Monday morning in New York, in the middle of a session.
MARKET_START = datetime(2026, 1, 5, 15, tzinfo=UTC)
_MARKET = {
    "MP_SYMBOLS": ",".join(SYMBOLS),
    "MP_EXCHANGE": "XNYS",
    "MP_VENDOR_PLAN": "premium",
    "MP_VENDOR_CALLS_PER_MINUTE": "75",
    "MP_CLOCK_MARKET_START": MARKET_START.isoformat(),
}


@dataclass
class Daemon:
    """One daemon that can be started again after its end; its messages to systemd are read from a real socket.

    It is the package of this name, unless the unit runs another program.
    """

    name: str
    directory: Path
    environment: Mapping[str, str]
    kafka_password: str = field(default=password_of(Principal.PRODUCER), repr=False)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    process: subprocess.Popen[bytes] | None = None
    program: tuple[str | Path, ...] = ()
    _told: list[str] = field(default_factory=list)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    @property
    def progress(self) -> dict[str, object]:
        return dict(progress.read(self.directory / progress.NAME) or {})

    def start(self) -> None:
        # As the playbook lays them down, and as systemd hands them to the unit, by another name.
        for folder, name in (("credentials", "mp_kafka_producer_password"), ("unit", "mp_kafka_password")):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
            (self.directory / folder / name).write_text(self.kafka_password + "\n")
            (self.directory / folder / "mp_vendor_api_key").write_text(KEY + "\n")
        for name, value in self.credentials.items():
            (self.directory / "unit" / name).write_text(value)
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        self._told.clear()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind(str(path))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "daemons"),
            "CREDENTIALS_DIRECTORY": str(self.directory / "unit"),
            "NOTIFY_SOCKET": str(path),
            "RUNTIME_DIRECTORY": str(self.directory),
            "STATE_DIRECTORY": str(self.directory),
            "CONFIGURATION_DIRECTORY": str(self.directory),
            **self.environment,
        }
        self.write_files()
        command = self.program or (sys.executable, "-c", f"from market_pulse.{self.name} import main; main()")
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
        # Like systemd, read all the time: a daemon that tells more than the socket holds would wait.
        threading.Thread(target=self._listen, args=(listening, self.process), daemon=True).start()

    def write_files(self, **changed: str) -> None:
        """Write the unit's environment files as the role does: the symbols, which a reload applies, in their own."""
        variables = {**self.environment, **changed}
        for name, wanted in ((f"{self.name}.env", False), (f"{self.name}-reload.env", True)):
            lines = [f'{key}="{value}"\n' for key, value in variables.items() if (key == "MP_SYMBOLS") is wanted]
            (self.directory / name).write_text("".join(lines))

    def told(self) -> list[str]:
        """Return what it has told systemd since its start."""
        return list(self._told)

    def _listen(self, listening: socket.socket, process: subprocess.Popen[bytes]) -> None:
        with listening:
            while process.poll() is None:
                if select.select([listening], [], [], 1)[0]:
                    self._told += listening.recv(4096).decode().splitlines()

    def with_environment(self, **changed: str) -> "Daemon":
        """Return the same daemon, not started, with other settings over the same directory."""
        return Daemon(self.name, self.directory, {**self.environment, **changed})

    def wait_until_ready(self, *, within: float = 30) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            return "READY=1" in self.told()

        eventually(ready, within=within, what=f"READY of the {self.name}", every=0.05)

    def end(self, number: signal.Signals, *, within: float = 10) -> int:
        """Send a signal, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=within)

    @contextlib.contextmanager
    def running(self, *, ready: bool = True) -> Iterator["Daemon"]:
        """Run it for the length of a block, which begins when it is ready, or at once."""
        try:
            self.start()
            if ready:
                self.wait_until_ready()
            yield self
        finally:
            if self.process and self.process.poll() is None:
                self.end(signal.SIGKILL)


@dataclass(frozen=True)
class Market:
    """A simulator and a clock that its clients share."""

    port: int
    clock: Mapping[str, str]
    daemon: Daemon


def _clock(speed: float) -> dict[str, str]:
    return {"MP_CLOCK_SPEED": str(speed), "MP_CLOCK_REAL_START": datetime.now(UTC).isoformat()}


@contextlib.contextmanager
def running_market(directory: Path, *, speed: float, **environment: str) -> Iterator[Market]:
    """Run a simulator from `MARKET_START` on."""
    clock, port = _clock(speed), free_port()
    listen = {"MP_SIMULATOR_HOST": "127.0.0.1", "MP_SIMULATOR_PORT": str(port), "MP_SIMULATOR_SEED": "7"}
    directory.mkdir()
    daemon = Daemon("simulator", directory, {**_MARKET, **listen, **clock, **environment})
    with daemon.running():
        yield Market(port, clock, daemon)


def producer_of(market: Market, directory: Path, broker: Broker, topic: str, **environment: str) -> Daemon:
    """Return a producer that asks a simulator; it is not started yet."""
    directory.mkdir()
    mine = {
        "MP_SOURCE": "simulator",
        "MP_VENDOR_ADDRESS": f"http://127.0.0.1:{market.port}",
        **_common(broker, topic),
    }
    return Daemon("producer", directory, {**_MARKET, **market.clock, **mine, **environment})


def producer_of_folder(folder: Path, directory: Path, broker: Broker, topic: str) -> Daemon:
    """Return a producer that plays a folder; it is not started yet."""
    directory.mkdir()
    mine = {"MP_SOURCE": "replay", "MP_REPLAY_FOLDER": str(folder), **_common(broker, topic)}
    return Daemon("producer", directory, {**_MARKET, **mine})


def _common(broker: Broker, topic: str) -> dict[str, str]:
    return {
        "MP_INTERVAL": "1min",
        "MP_EXTENDED_HOURS": "true",
        "MP_SETTLE_SECONDS": "5",
        "MP_OUTBOX_MAX_BARS": "200000",
        "MP_ARCHIVE_DAYS": "400",
        **broker.environment(),
        "MP_TOPIC": topic,
    }


def waiting_of(producer: Daemon) -> list[bytes]:
    """Return the messages in the outbox of a producer that does not run."""
    memory = store.Store(producer.directory / store.NAME)
    try:
        return [message.value for message in Outbox(memory, max_bars=1).oldest(1_000_000)]
    finally:
        memory.close()


def records(broker: Broker, topic: str) -> list[ConsumerRecord]:
    """Return everything on a topic, partition by partition."""
    consumer = KafkaConsumer(**broker.options, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        found: list[ConsumerRecord] = []
        while len(found) < sum(ends.values()):
            for batch in consumer.poll(timeout_ms=500).values():
                found += batch
        return found
    finally:
        consumer.close()


def bars(broker: Broker, topic: str) -> list[Bar]:
    """Return every bar on a topic; each record, be it of a bar or of an answer, has to pass the contract."""
    decoded = [contract.decode(record.key, record.value) for record in records(broker, topic)]
    assert [found for found in decoded if isinstance(found, Rejection)] == []
    return [bar for bar in decoded if isinstance(bar, Bar)]


def record(folder: Path, answer: Path, *, fetched_at: datetime, **request: str) -> None:
    """Put an answer with its request into a folder to replay."""
    folder.mkdir(exist_ok=True)
    (folder / answer.name).write_bytes(answer.read_bytes())
    sidecar = {**request, "fetched_at": fetched_at.isoformat()}
    (folder / f"{answer.name}.request.json").write_text(json.dumps(sidecar))


def missing_minutes(found: list[Bar], symbol: str) -> list[datetime]:
    """Return the minutes between a symbol's first and last final bar, of a regular session, that have no bar."""
    times = {bar.bar_time for bar in found if bar.symbol == symbol and bar.is_final and bar.bar_time >= MARKET_START}
    first, last = min(times), max(times)
    span = (last - first) // timedelta(minutes=1)
    return [moment for moment in (first + n * timedelta(minutes=1) for n in range(span)) if moment not in times]
