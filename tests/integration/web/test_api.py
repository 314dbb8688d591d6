"""What programs ask: REST and GraphQL, and the page about Kafka."""

import contextlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from integration.services.web import Pipeline, Web, snapshot
from market_pulse.web.feed import home
from market_pulse.web.guard import MOST_BODY_BYTES
from support.waiting import eventually


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


def test_refusals_at_once_end_a_connection_once_and_without_a_word_in_the_journal(page: Web) -> None:
    refused = [
        json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": "subscription {"}})
        for number in range(20)
    ]
    closed = set()
    for _ in range(20):
        address, protocols = f"ws://127.0.0.1:{page.port}/graphql", [Subprotocol("graphql-transport-ws")]
        with connect(address, subprotocols=protocols) as connection, contextlib.suppress(ConnectionClosed):
            for frame in ['{"type": "connection_init"}', *refused, "no JSON"]:
                connection.send(frame)
            while True:
                connection.recv(10)
        closed.add(connection.close_code)
    assert closed == {4400}
    assert page.get("/api/feed")["readers"] == 0
    assert "Traceback" not in page.daemon.log


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
