"""A second producer beside the real one: bars of its own, many a second, each sent until it is confirmed."""

import json
import shlex
from dataclasses import dataclass

from support.waiting import eventually
from system.host import Host

_UNIT = "load-of-the-tests"
_SYMBOLS = [f"LOAD{letter}" for letter in "ABCDEFGHIJKL"]
# With the producer's own password, so that it may do what that may.
_SEND = """
import itertools, json, sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from kafka import KafkaProducer
from kafka.errors import KafkaError
from market_pulse.contract import VERSION, Bar, encode
from market_pulse.kafka_login import Login
count, per_second, servers, symbols = json.loads(sys.argv[1])
password = Path("/etc/market-pulse/credentials/mp_kafka_producer_password").read_text().strip()
login = Login(servers, Path("/etc/market-pulse/ca.crt"), "producer", password)
patience = dict(acks="all", enable_idempotence=True, max_block_ms=2000)
patience |= dict(request_timeout_ms=8000, delivery_timeout_ms=10000)
start = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
def bar(number):
    minute, place = divmod(number, len(symbols))
    price = f"{100 + number / 1e4:.4f}"
    return Bar(v=VERSION, source="simulator", request_id="load", symbol=symbols[place], interval="1min",
        bar_time=start + timedelta(minutes=minute), open=price, high=price, low=price, close=price, volume="1",
        is_final=True, fetched_at=datetime.now(UTC))
# As the product does: a future that has not ended long after the delivery's own limit never will.
give_up_seconds = 30
numbers, failed, flight, producer = iter(range(count)), [], [], None
began, sent = time.monotonic(), 0
while True:
    if producer is None:
        try:
            producer = KafkaProducer(**login.options, **patience)
        except KafkaError:
            time.sleep(1)
            continue
    ahead = sent < (time.monotonic() - began) * per_second
    number = failed.pop() if failed else next(numbers, None) if ahead and len(flight) < 2000 else None
    if number is not None:
        sent += 1
        one = bar(number)
        try:
            future = producer.send("market.bars", key=one.symbol.encode(), value=encode(one))
            flight.append((number, future, time.monotonic()))
        except KafkaError:
            failed.append(number)
    lost = [number for number, future, _ in flight if future.is_done and future.failed()]
    flight = [each for each in flight if not each[1].is_done]
    if flight and time.monotonic() - flight[0][2] > give_up_seconds:
        lost += [number for number, _, _ in flight]
        flight = []
        producer._sender.force_close()
        producer.close(timeout=1)
        producer = None
    if lost:
        failed += lost
    elif number is None:
        if sent >= count and not failed and not flight:
            break
        time.sleep(0.005)
producer.close()
"""


@dataclass(frozen=True)
class Load:
    """So many bars on their way, so many a second."""

    host: Host
    bars: int

    @classmethod
    def begin(cls, host: Host, servers: str, *, bars: int, per_second: int) -> "Load":
        """Begin to send, on the producer's host, by brokers such as ``10.77.3.11:9092``."""
        host.run("cat >/run/load-of-the-tests.py", stdin=_SEND)
        wanted = shlex.quote(json.dumps([bars, per_second, servers, _SYMBOLS]))
        host.run(
            f"systemd-run --quiet --unit={_UNIT} --remain-after-exit "
            f"/opt/market-pulse/venv/bin/python /run/load-of-the-tests.py {wanted}"
        )
        return cls(host, bars)

    def assert_stored(self, *, within: float) -> None:
        """Wait until each is confirmed and stored, and require that none is there twice."""
        eventually(self._is_over, within=within, what="every bar of the load is confirmed")
        stored = f"select count(*), count(distinct (symbol, bar_time)) from market.bar where symbol in ({self._names})"
        wanted = [[str(self.bars), str(self.bars)]]
        eventually(
            lambda: self.host.sql(stored) == wanted, within=60, what=f"all {self.bars} bars are stored, each once"
        )

    def end(self) -> None:
        """Forget it."""
        self.host.run(
            f"systemctl stop {_UNIT}; systemctl reset-failed {_UNIT}; rm /run/load-of-the-tests.py", check=False
        )

    def _is_over(self) -> bool:
        shown = self.host.show(_UNIT, "SubState", "Result")
        assert shown["Result"] == "success", self.host.run(f"journalctl -u {_UNIT} -n 20 -o cat")
        return shown["SubState"] == "exited"

    @property
    def _names(self) -> str:
        return ", ".join(f"'{symbol}'" for symbol in _SYMBOLS)
