"""The web daemon as its unit runs it, over a real broker and a real database, and what a test does to these."""

import contextlib
import json
import signal
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count, groupby, islice
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from websockets.sync.client import ClientConnection, connect

from integration import daemon_processes
from integration.daemon_processes import Daemon
from integration.services.broker import Broker, password_of
from integration.services.database import PASSWORD, Database
from integration.services.records import bar
from market_pulse.contract import Bar, Interval, encode
from market_pulse.kafka_login import Principal
from market_pulse.sessions import Sessions
from market_pulse.simulator.market import TICKS, SimulatedMarket
from market_pulse.topic import look_up
from market_pulse.upkeep import calendar
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task, store
from support.ports import free_port
from support.waiting import eventually

# A Monday morning in New York, of which the market's clock says that it is an hour later.
OPENING = datetime(2026, 5, 18, 13, 30, tzinfo=UTC)
NOW = OPENING + timedelta(hours=1)
TOKEN = "a-token-that-is-long-enough"
_batches = count()


@cache
def _market() -> SimulatedMarket:
    return SimulatedMarket(7, Sessions.load("XNYS", date(2026, 1, 2)))


@dataclass
class Pipeline:
    """A topic and a database; what the producer and the consumer do, their own code does here when a test says so."""

    broker: Broker
    database: Database
    topic: str

    @staticmethod
    def bar(symbol: str, minute: int, **changed: object) -> Bar:
        """Return a good bar of a minute of the session."""
        start = OPENING + timedelta(minutes=minute)
        price = 100 + (minute * 7) % 11 + sum(map(ord, symbol)) % 80
        values: dict[str, object] = {
            "bar_time": start,
            "fetched_at": start + timedelta(seconds=65),
            "open": f"{price}.10",
            "high": f"{price + 1}.00",
            "low": f"{price - 1}.00",
            "close": f"{price}.{40 + minute % 50}",
            "volume": str(1000 + 137 * (minute % 13)),
            "request_id": f"r{minute}",
        }
        return bar(symbol, **(values | changed))

    @staticmethod
    def market(symbol: str, until: datetime, most: int = 900) -> list[Bar]:
        """Return what the simulator's market says of the minutes before an instant, oldest first."""
        bars = islice(_market().intraday(symbol, Interval.ONE_MINUTE, until, extended=False), most)
        return [
            bar(
                symbol,
                bar_time=each.start,
                fetched_at=each.start + timedelta(seconds=65),
                **{name: str(Decimal(getattr(each, name)) / TICKS) for name in ("open", "high", "low", "close")},
                volume=str(each.volume),
                request_id=f"r{each.start:%d%H%M}",
            )
            for each in reversed(list(bars))
        ]

    def tell(self, *bars: Bar) -> None:
        """Put bars on the topic, as the producer does."""
        login = self.broker.login(Principal.PRODUCER)
        with contextlib.closing(KafkaProducer(enable_idempotence=True, **login.options)) as producer:
            for future in [producer.send(self.topic, encode(each), each.symbol.encode()) for each in bars]:
                future.get(timeout=10)

    def plan(self) -> None:
        """Fill the exchange's calendar, as the upkeep does."""
        with contextlib.closing(self.database.connect("keeper")) as session, session, session.cursor() as cursor:
            calendar.refresh(cursor, "XNYS", NOW)

    def store(self) -> None:
        """Store all that is on the topic, as the consumer does."""
        topic = look_up(self.broker.login(Principal.CONSUMER), self.topic)
        found = daemon_processes.records(self.broker, self.topic)
        for partition, group in groupby(
            sorted(found, key=lambda record: record.partition), lambda record: record.partition
        ):
            self.database.query(
                "INSERT INTO market.stream_position (topic_id, partition, topic, next_offset) VALUES (%s, %s, %s, 0)"
                " ON CONFLICT DO NOTHING",
                str(topic.id),
                partition,
                self.topic,
            )
            task = Task(uuid.uuid4(), next(_batches), topic.id, self.topic, partition)
            records = [
                Record(each.offset, each.key, each.value, datetime.fromtimestamp(each.timestamp / 1000, UTC))
                for each in sorted(group, key=lambda record: record.offset)
            ]
            with contextlib.closing(self.database.connect("writer")) as session:
                store(session, task, records)


@dataclass
class Web:
    """A web daemon that can be started again after its end."""

    daemon: Daemon
    port: int
    kafka_port: int
    host: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def kafka_address(self) -> str:
        return f"http://127.0.0.1:{self.kafka_port}"

    def get(self, path: str, *, of_kafka: bool = False, **headers: str) -> Any:
        """Return the JSON of an answer, which has to be a good one."""
        status, body = self.ask(path, of_kafka=of_kafka, **headers)
        assert status == 200, body
        return json.loads(body)

    def ask(self, path: str, *, of_kafka: bool = False, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Return status and body of an answer."""
        url = (self.kafka_address if of_kafka else self.address) + path
        request = urllib.request.Request(url, data, {key.replace("_", "-"): text for key, text in headers.items()})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    @contextlib.contextmanager
    def live(self, **options: Any) -> Iterator["LiveReader"]:
        """Open the live channel for the length of a block."""
        with connect(f"ws://{self.host}:{self.port}/live", **options) as connection:
            yield LiveReader(connection)

    def kill(self) -> None:
        """End it as an OOM killer does."""
        self.daemon.end(signal.SIGKILL)


@dataclass
class LiveReader:
    """A reader who does what the page does: remembers bars by time, and stream and sequence."""

    connection: ClientConnection
    bars: dict[str, dict[str, Any]] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)

    def subscribe(self, symbol: str, **more: object) -> dict[str, Any]:
        """Ask for a series, and return the answer."""
        wish = {"type": "subscribe", "symbol": symbol, "interval": "1min", **more}
        self.connection.send(json.dumps(wish))
        # Bars of an earlier subscription may be on their way before the answer.
        while (message := self.next())["type"] == "bar":
            pass
        return message

    def next(self, timeout: float = 10) -> dict[str, Any]:
        """Return the next message, after having done with it what the page does."""
        message: dict[str, Any] = json.loads(self.connection.recv(timeout))
        if message["type"] == "snapshot":
            self.bars = {}
        for told in message.get("bars", [message["bar"]] if "bar" in message else []):
            known = self.bars.get(told["bar_time"])
            if known is None or told["fetched_at"] >= known["fetched_at"]:
                self.bars[told["bar_time"]] = told
        if "sequence" in message:
            self.place = {"stream": message["stream"], "after": message["sequence"]}
        return message

    @property
    def minutes(self) -> list[int]:
        """Return the minutes of the session whose bars it has."""
        times = (datetime.fromisoformat(time) for time in sorted(self.bars))
        return [(time - OPENING) // timedelta(minutes=1) for time in times]


def web(pipeline: Pipeline, directory: Path, *, now: datetime = NOW, **environment: str) -> Web:
    """Return a web daemon; it is not started yet."""
    directory.mkdir()
    port, kafka_port = free_port(), free_port()
    mine = {
        "MP_EXCHANGE": "XNYS",
        "MP_INTERVAL": "1min",
        "MP_TOPIC": pipeline.topic,
        "MP_WEB_HOST": "127.0.0.1",
        "MP_WEB_PORT": str(port),
        "MP_WEB_KAFKA_PORT": str(kafka_port),
        # As good as standing still.
        "MP_CLOCK_SPEED": "0.001",
        "MP_CLOCK_MARKET_START": now.isoformat(),
        "MP_CLOCK_REAL_START": datetime.now(UTC).isoformat(),
        **pipeline.broker.environment(),
        **pipeline.database.environment("web"),
        **environment,
    }
    daemon = Daemon(
        "web",
        directory,
        mine,
        kafka_password=password_of(Principal.WEB),
        credentials={"mp_postgresql_web_password": PASSWORD},
    )
    return Web(daemon, port, kafka_port, host=mine["MP_WEB_HOST"])


def snapshot(reader: LiveReader, symbol: str, bars: int) -> dict[str, Any]:
    """Ask for a series until all its bars have come through Kafka."""
    return eventually(
        lambda: (answer := reader.subscribe(symbol)) and len(answer.get("bars", ())) >= bars and answer,
        within=15,
        what=f"{bars} bars of {symbol} are in a snapshot",
    )
