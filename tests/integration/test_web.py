"""The live page's server: history and live bars without a hole, whatever ends, and readers who cost others nothing."""

import contextlib
import json
import random
import signal
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from kafka import KafkaConsumer
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from integration import daemon_processes
from integration.services.broker import Broker
from integration.services.database import Database
from integration.services.web import TOKEN, LiveReader, Pipeline, Web, web
from market_pulse.web import hub, protocol
from market_pulse.web.feed import home
from market_pulse.web.guard import MOST_BODY_BYTES
from support.waiting import eventually


@pytest.fixture
def pipeline(broker: Broker, topic: str, database: Database) -> Pipeline:
    return Pipeline(broker, database, topic)


@pytest.fixture
def page(pipeline: Pipeline, tmp_path: Path) -> Iterator[Web]:
    made = web(pipeline, tmp_path / "web")
    with made.daemon.running():
        yield made


def snapshot(reader: LiveReader, symbol: str, bars: int) -> dict[str, Any]:
    """Ask for a series until all its bars have come through Kafka."""
    return eventually(
        lambda: (answer := reader.subscribe(symbol)) and len(answer.get("bars", ())) >= bars and answer,
        within=15,
        what=f"{bars} bars of {symbol} are in a snapshot",
    )


def test_what_is_stored_and_what_is_on_its_way_is_one_chart(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5)))
    pipeline.store()
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5, 8)))
    with page.live() as reader:
        assert snapshot(reader, "IBM", 8)["complete"]
        assert reader.minutes == list(range(8))
        pipeline.tell(pipeline.bar("IBM", 8), pipeline.bar("MSFT", 8))
        message = reader.next()
        assert (message["type"], message["symbol"]) == ("bar", "IBM")
        assert reader.minutes == list(range(9))
        assert message["bar"]["local_time"] == "2026-05-18T09:38:00"


def test_symbols_are_where_the_producer_puts_them(pipeline: Pipeline) -> None:
    pipeline.tell(*(pipeline.bar(symbol, 0) for symbol in ("IBM", "MSFT", "BRK.B", "A", "NVDA")))
    found = daemon_processes.records(pipeline.broker, pipeline.topic)
    assert [record.partition for record in found] == [home(record.key.decode(), 3) for record in found]


def test_a_forming_bar_becomes_final_and_a_late_telling_of_before_changes_nothing(
    pipeline: Pipeline, page: Web
) -> None:
    begun = pipeline.bar("IBM", 0)
    forming = pipeline.bar("IBM", 0, is_final=False, close=begun.open, fetched_at=begun.bar_time)
    pipeline.tell(forming)
    with page.live() as reader:
        (bar,) = snapshot(reader, "IBM", 1)["bars"]
        assert (bar["is_final"], bar["close"]) == (False, forming.close)
        final = pipeline.bar("IBM", 0)
        pipeline.tell(final, forming)
        reader.next()
        reader.next()
        (bar,) = reader.bars.values()
        assert (bar["is_final"], bar["close"]) == (True, final.close)
        pipeline.store()
        (bar,) = reader.subscribe("IBM")["bars"]
        assert (bar["is_final"], bar["close"]) == (True, final.close)


@pytest.mark.parametrize("is_stored", [False, True], ids=["what came is in Kafka", "what came is stored"])
def test_after_a_kill_a_reader_who_comes_back_has_no_hole(pipeline: Pipeline, page: Web, *, is_stored: bool) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3)))
    pipeline.store()
    with page.live() as reader:
        snapshot(reader, "IBM", 3)
        page.kill()
        with pytest.raises(ConnectionClosed):
            reader.next()
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3, 6)))
    if is_stored:
        pipeline.store()
    page.daemon.start()
    page.daemon.wait_until_ready()
    pipeline.tell(pipeline.bar("IBM", 6))
    with page.live() as again:
        again.bars, again.place = reader.bars, reader.place
        answer = again.subscribe("IBM", **reader.place)
        # What the database has by then, the ring begins after.
        assert answer["type"] == ("snapshot" if is_stored else "resumed")
        eventually(lambda: again.minutes == list(range(7)) or again.next(1), within=10, what="no bar is missing")
        assert again.minutes == list(range(7))


def test_a_break_of_the_network_alone_is_made_up_for_without_the_database(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3)))
    with page.live() as reader:
        snapshot(reader, "IBM", 3)
    pipeline.tell(*(pipeline.bar(symbol, minute) for minute in range(3, 6) for symbol in ("IBM", "MSFT")))
    with page.live() as again:
        again.bars = reader.bars

        def all_missed() -> bool:
            answer = again.subscribe("IBM", **reader.place)
            return answer["type"] == "resumed" and again.minutes == list(range(6))

        eventually(all_missed, within=10, what="what was missed is told")
        assert again.subscribe("IBM", stream=str(uuid.uuid4()), after=1)["type"] == "snapshot"


def test_kills_at_any_time_leave_no_hole(pipeline: Pipeline, page: Web) -> None:
    chance = random.Random(2026)  # noqa: S311 - repeatable, not secret
    bars: dict[str, dict[str, Any]] = {}
    place: dict[str, Any] = {}
    minute = 0
    for _ in range(4):
        with contextlib.suppress(ConnectionClosed), page.live() as reader:
            reader.bars, reader.place = bars, place
            reader.subscribe("IBM", **place)
            for _ in range(chance.randrange(1, 6)):
                pipeline.tell(pipeline.bar("IBM", minute))
                minute += 1
                if chance.random() < 0.4:
                    pipeline.store()
            page.kill()
            while True:
                reader.next()
        bars, place = reader.bars, reader.place
        for _ in range(chance.randrange(3)):
            pipeline.tell(pipeline.bar("IBM", minute))
            minute += 1
        if chance.random() < 0.5:
            pipeline.store()
        page.daemon.start()
        page.daemon.wait_until_ready()
    with page.live() as last:
        last.bars = bars
        last.subscribe("IBM", **place)
        eventually(lambda: len(last.minutes) >= minute or last.next(1), within=10, what="every bar is there")
        assert last.minutes == list(range(minute))


def test_a_reader_who_does_not_read_is_cut_off_with_a_reason_while_others_go_on(pipeline: Pipeline, page: Web) -> None:
    wish = json.dumps({"type": "subscribe", "symbol": "IBM", "interval": "1min"})
    most = hub.MOST_WAITING + 4000
    with socket.socket() as raw, page.live() as quick:
        # What the system would keep for him is no patience of the daemon's.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", page.port))
        with connect(f"ws://127.0.0.1:{page.port}/live", sock=raw, max_queue=1, ping_interval=None) as slow:
            slow.send(wish)
            quick.subscribe("IBM")
            for start in range(0, most, 500):
                pipeline.tell(*(pipeline.bar("IBM", 0, volume=str(start + number)) for number in range(500)))
                for _ in range(500):
                    quick.next()
            assert quick.bars.popitem()[1]["volume"] == most - 1
            eventually(lambda: page.get("/api/feed")["readers"] == 1, within=20, what="only the quick one is left")
            assert "reader cut off: reason='slow reader" in page.daemon.log
            with pytest.raises(ConnectionClosed) as closed:
                read_all(slow)
            # Who does not even read that he is cut off finds the connection broken.
            if closed.value.rcvd is not None:
                assert (closed.value.rcvd.code, closed.value.rcvd.reason[:11]) == (1013, "slow reader")


def read_all(connection: ClientConnection) -> None:
    while True:
        connection.recv(20)


def test_a_frame_that_is_too_large_ends_the_connection_by_its_own_code(page: Web) -> None:
    with page.live() as reader:
        reader.connection.send("x" * (protocol.MOST_FRAME_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            reader.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_who_sends_nothing_but_nonsense_is_told_so_and_then_left(page: Web) -> None:
    with page.live() as reader:
        reader.connection.send('{"type": "ping"}')
        assert reader.next()["type"] == "pong"
        for _ in range(protocol.MOST_BAD_FRAMES - 1):
            reader.connection.send(b"\xff\x00")
            assert "not a request" in reader.next()["reason"]
        reader.connection.send(b"\xff\x00")
        with pytest.raises(ConnectionClosed) as closed:
            reader.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_more_subscriptions_than_a_page_needs_are_refused(page: Web) -> None:
    with page.live() as reader:
        for number in range(protocol.MOST_SUBSCRIPTIONS):
            assert reader.subscribe(f"S{number}")["type"] == "snapshot"
        with pytest.raises(ConnectionClosed) as closed:
            reader.subscribe("ONE.MORE")
        assert closed.value.rcvd is not None
        assert "64 subscriptions" in closed.value.rcvd.reason


def test_another_pages_socket_is_refused(page: Web) -> None:
    with pytest.raises(InvalidStatus) as refused, page.live(origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    assert page.ask("/", Host="evil.example")[0] == 400


def test_rest_and_graphql_say_what_is_stored(pipeline: Pipeline, page: Web) -> None:
    pipeline.plan()
    friday = -3 * 24 * 60
    pipeline.tell(*(pipeline.bar(symbol, minute) for symbol in ("IBM", "MSFT") for minute in (friday, 0, 1, 2)))
    pipeline.store()
    about = page.get("/api/about")
    assert (about["exchange_name"], about["zone"], about["market"]["is_open"]) == ("NYSE", "America/New_York", True)
    bars = page.get("/api/bars/IBM?before=2026-05-18T13:32:00Z&limit=2")["bars"]
    assert [bar["local_time"] for bar in bars] == ["2026-05-18T09:30:00", "2026-05-18T09:31:00"]
    quotes = page.get("/api/quotes?symbol=MSFT")
    assert [(quote["symbol"], quote["bar"]["close"], quote["previous_close"]) for quote in quotes] == [
        ("MSFT", pipeline.bar("MSFT", 2).close, pipeline.bar("MSFT", friday).close)
    ]
    assert [quote["symbol"] for quote in page.get("/api/quotes?after_symbol=IBM&after_interval=1min")] == ["MSFT"]
    lines = page.get("/api/comparison?symbol=IBM&symbol=MSFT&limit=3")
    assert [(line["symbol"], line["points"][0]["index"]) for line in lines] == [
        ("IBM", "100.0000"),
        ("MSFT", "100.0000"),
    ]
    document = (
        '{ bars(symbol: "IBM", limit: 1) { close volume isFinal } quotes { symbol previousClose } health { state } }'
    )
    status, body = page.ask("/graphql", data=json.dumps({"query": document}).encode(), Content_Type="application/json")
    assert status == 200, body
    assert json.loads(body)["data"]["bars"] == [
        {"close": pipeline.bar("IBM", 2).close, "volume": 1274, "isFinal": True}
    ]
    health = page.get("/api/feed")
    assert (health["series"], sum(lag["records"] for lag in health["lag"])) == (2, 0)
    assert page.ask("/api/bars/IBM?interval=2min")[0] == page.ask("/api/bars/ibm")[0] == 422
    assert page.ask("/graphql", data=b"x" * (MOST_BODY_BYTES + 1))[0] == 413


@dataclass
class Subscribed:
    """A GraphQL subscription over its WebSocket."""

    connection: ClientConnection

    def begin(self, arguments: str) -> "Subscribed":
        self.connection.send('{"type": "connection_init"}')
        assert self._next()["type"] == "connection_ack"
        query = f"subscription {{ bars({arguments}) {{ stream sequence bar {{ barTime close }} }} }}"
        self.connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        return self

    def next(self) -> dict[str, Any]:
        message = self._next()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        bars: dict[str, Any] = message["payload"]["data"]["bars"]
        return bars

    def _next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.connection.recv(10))
        return found


def test_a_graphql_subscription_is_live_and_can_be_resumed(pipeline: Pipeline, page: Web) -> None:
    address, protocols = f"ws://127.0.0.1:{page.port}/graphql", [Subprotocol("graphql-transport-ws")]
    with connect(address, subprotocols=protocols) as connection:
        first = Subscribed(connection).begin('symbol: "IBM"')
        eventually(lambda: page.get("/api/feed")["readers"], within=5, what="the subscription has begun")
        pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(3)))
        told = [first.next() for _ in range(3)]
    place = f'stream: "{told[0]["stream"]}", after: {told[0]["sequence"]}'
    with connect(address, subprotocols=protocols) as connection:
        again = Subscribed(connection).begin(f'symbol: "IBM", {place}')
        assert [again.next() for _ in range(2)] == told[1:]
        pipeline.tell(pipeline.bar("IBM", 3))
        assert again.next()["bar"]["close"] == pipeline.bar("IBM", 3).close


def test_the_kafka_page_shows_lag_records_and_settings_and_changes_nothing(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5)))
    pipeline.store()
    pipeline.tell(*(pipeline.bar("IBM", minute) for minute in range(5, 8)))
    partition = home("IBM", 3)
    name = f"group-{uuid.uuid4().hex[:8]}"
    options = {"group_id": name, "auto_offset_reset": "earliest", "enable_auto_commit": False}
    with contextlib.closing(KafkaConsumer(pipeline.topic, **options, **pipeline.broker.options)) as member:
        eventually(lambda: member.poll(timeout_ms=500), within=20, what="a group reads")
        member.commit()
        found = page.get("/api/cluster", of_kafka=True)
    (spark,) = [lag for lag in found["consumer"] if lag["partition"] == partition]
    assert (spark["next_offset"], spark["end"], spark["records"]) == (5, 8, 3)
    (group,) = [group for group in found["cluster"]["groups"] if group["name"] == name]
    assert [(item["partition"], item["end"]) for item in group["offsets"] if item["end"]] == [(partition, 8)]
    before = {each["name"] for each in found["cluster"]["groups"]}
    path = f"/api/topics/{pipeline.topic}"
    records = page.get(f"{path}/partitions/{partition}/records?offset=6&limit=10", of_kafka=True)
    assert [(record["offset"], record["kind"], record["key"]) for record in records] == [
        (6, "bar", "IBM"),
        (7, "bar", "IBM"),
    ]
    assert "close " + pipeline.bar("IBM", 7).close in records[1]["shown"]
    newest = page.get(f"{path}/partitions/{partition}/records?limit=1", of_kafka=True)
    assert [record["offset"] for record in newest] == [7]
    settings = {item["name"]: item for item in page.get(f"{path}/configuration", of_kafka=True)}
    assert settings["retention.ms"]["value"]
    assert page.ask(f"{path}/partitions/9/records", of_kafka=True)[0] == 404
    assert page.ask("/api/topics/nothing/configuration", of_kafka=True)[0] == 404
    # Everything is listed, and of nothing but the bars a record is shown.
    (others,) = [topic for topic in found["cluster"]["topics"] if topic["name"] == "__consumer_offsets"]
    assert others["is_internal"]
    (used, *_) = [item["partition"] for item in others["partitions"] if item["end"] > item["beginning"]]
    status, said = page.ask(f"/api/topics/{others['name']}/partitions/{used}/records", of_kafka=True)
    assert (status, "for want of an ACL" in said) == (403, True)
    after = page.get("/api/cluster", of_kafka=True)
    assert {each["name"] for each in after["cluster"]["groups"]} == before
    assert [page.ask(f"{path}{rest}", of_kafka=True, data=b"{}")[0] for rest in ("", "/configuration")] == [404, 405]


def test_a_refused_record_is_shown_as_the_sink_would_call_it(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(pipeline.bar("IBM", 0, high="1.00"), pipeline.bar("IBM", 1))
    path = f"/api/topics/{pipeline.topic}/partitions/{home('IBM', 3)}/records"
    assert [record["kind"] for record in page.get(path, of_kafka=True)] == ["refused", "bar"]
    with page.live() as reader:
        snapshot(reader, "IBM", 1)
        assert reader.minutes == [1]


def test_without_a_database_the_page_says_so_and_goes_on_when_it_is_back(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(pipeline.bar("IBM", 0))
    pipeline.store()
    role = pipeline.database.server.accounts["web"]
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    pipeline.database.query(f"ALTER ROLE {role} NOLOGIN")
    try:
        pipeline.database.query(end, role)
        status, said = page.ask("/api/bars/IBM")
        assert (status, "no answer from the database" in said) == (503, True)
        health = page.get("/api/feed")
        assert (health["state"], "database" in health["sentence"]) == ("down", True)
    finally:
        pipeline.database.query(f"ALTER ROLE {role} LOGIN")
    assert len(page.get("/api/bars/IBM")["bars"]) == 1
    pipeline.database.query(end, role)
    # A session that the server ended is made anew within the same request.
    assert len(page.get("/api/bars/IBM")["bars"]) == 1


def test_it_is_watched_by_its_own_progress_and_leaves_when_told(pipeline: Pipeline, page: Web) -> None:
    del pipeline
    eventually(lambda: "WATCHDOG=1" in page.daemon.told(), within=15, what="the watchdog is fed")
    assert page.daemon.end(signal.SIGTERM) == 0
    assert page.daemon.told()[-1] == "STOPPING=1"


def test_a_topic_that_was_made_again_ends_it_for_its_offsets_are_other_ones(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(pipeline.bar("IBM", 0))
    with page.live() as reader:
        snapshot(reader, "IBM", 1)
        pipeline.broker.delete_topic(pipeline.topic)
        pipeline.broker.create_topic(name=pipeline.topic)
        assert page.daemon.process is not None
        assert page.daemon.process.wait(90) == 1
    assert "stopped: " in page.daemon.log


# By hand: refused over TLS, the client of the library now and then waits for ever for the server to hang up.
_UPGRADE = (
    "GET /live HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.fixture
def others_reach() -> str:
    """An address of this machine that is not loopback."""
    listed = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    if not listed:
        pytest.skip("this machine has no address but loopback")
    return listed[0]


def test_on_the_lan_it_speaks_tls_and_asks_for_the_token(pipeline: Pipeline, tmp_path: Path, others_reach: str) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(others_reach)
    made = web(pipeline, tmp_path / "web", MP_WEB_HOST=others_reach)
    pem = certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes()
    made.daemon.credentials = {**made.daemon.credentials, "mp_web_keystore": pem.decode(), "mp_web_token": TOKEN}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    url = f"wss://{others_reach}:{made.port}/live"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with made.daemon.running():
        with (
            socket.create_connection((others_reach, made.port), 10) as bare,
            context.wrap_socket(bare, server_hostname=others_reach) as tokenless,
        ):
            tokenless.sendall(f"{_UPGRADE}Host: {others_reach}:{made.port}\r\n\r\n".encode())
            assert tokenless.recv(12) == b"HTTP/1.1 403"
        with connect(url, ssl=context, additional_headers=bearer) as connection:
            assert LiveReader(connection).subscribe("IBM")["type"] == "snapshot"
        with socket.create_connection((others_reach, made.port), 5) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert not plain.recv(100).startswith(b"HTTP")
        # The Kafka page stays where it was.
        assert made.ask("/health", of_kafka=True)[0] == 200
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((others_reach, made.kafka_port), 5)


@pytest.mark.parametrize("given", [{}, {"mp_web_token": TOKEN}, {"mp_web_keystore": "pem"}])
def test_without_both_it_does_not_start_on_the_lan(pipeline: Pipeline, tmp_path: Path, given: dict[str, str]) -> None:
    made = web(pipeline, tmp_path / "web", MP_WEB_HOST="0.0.0.0")  # noqa: S104 - to be refused
    made.daemon.credentials = {**made.daemon.credentials, **given}
    with made.daemon.running(ready=False) as daemon:
        assert daemon.process is not None
        assert daemon.process.wait(30) == 1
    assert "which others reach: that takes the credentials" in daemon.log
