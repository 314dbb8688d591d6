"""Whatever is sent to the pages: no answer of theirs is an error of their own, and their memory stays as it is."""

import contextlib
import json
import random
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from integration.services.broker import Broker
from integration.services.database import Database
from integration.services.web import Pipeline, Web, web
from market_pulse.web.protocol import MOST_FRAME_BYTES

EXAMPLES = 40
ROUNDS = 300
# What Python and its caches take more after some thousand requests; a leak of each request's would be far above it.
MORE_MIBIBYTES = 60


@pytest.fixture(scope="module")
def page(broker: Broker, postgresql: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with postgresql.migrated_database() as database:  # type: ignore[attr-defined]
        assert isinstance(database, Database)
        pipeline = Pipeline(broker, database, broker.create_topic())
        pipeline.tell(*(pipeline.bar(symbol, minute) for symbol in ("IBM", "MSFT") for minute in range(5)))
        pipeline.store()
        made = web(pipeline, tmp_path_factory.mktemp("fuzz") / "web")
        with made.daemon.running():
            yield made


def resident(page: Web) -> float:
    """Return how many MiB of memory the daemon has."""
    assert page.daemon.process is not None
    status = Path(f"/proc/{page.daemon.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture
def bounded(page: Web) -> Iterator[None]:
    """What a test does costs no memory that stays, and the daemon answers after it."""
    page.get("/api/feed")
    before = resident(page)
    yield
    assert page.get("/api/feed")["state"] in ("well", "attention")
    assert resident(page) - before < MORE_MIBIBYTES
    assert "Traceback" not in page.daemon.log


@pytest.mark.parametrize("of_kafka", [False, True], ids=["market", "kafka"])
def test_the_api_answers_whatever_is_asked_as_it_says(page: Web, bounded: None, *, of_kafka: bool) -> None:
    del bounded
    base = page.kafka_address if of_kafka else page.address
    schema = schemathesis.openapi.from_dict(page.get("/api/openapi.json", of_kafka=of_kafka))
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 3
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=base)

        ask()


def _words(chance: random.Random) -> str:
    parts = [
        "{",
        "}",
        "(",
        ")",
        "bars",
        "quotes",
        "health",
        "symbol:",
        '"IBM"',
        "limit:",
        "9" * 20,
        "...",
        "@skip",
        "on",
    ]
    parts += [
        "a:bars",
        "subscription",
        "query",
        "fragment f on Bar",
        "$x",
        '"\\u0000"',
        "before:",
        '"0001-01-01T00:00Z"',
    ]
    parts += ["".join(chance.choice(string.printable) for _ in range(8))]
    return " ".join(chance.choice(parts) for _ in range(chance.randrange(1, 40)))


def test_graphql_answers_whatever_is_asked(page: Web, bounded: None) -> None:
    del bounded
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    deep = '{ bars(symbol: "IBM") ' + "{ bar " * 200 + "}" * 201
    many = "{" + " ".join(f"a{number}: quotes {{ symbol }}" for number in range(50)) + "}"
    good = '{ quotes(symbols: ["IBM"]) { symbol bar { close } } }'
    documents = [
        deep,
        many,
        "{" * 5000,
        '{ bars(symbol: "\\u0000") { close } }',
        '{ bars(symbol: "IBM", limit: -1) { close } }',
    ]
    documents += [
        '{ bars(symbol: "IBM", before: "0001-01-01T00:00:00+23:59") { close } }',
        '{ bars(symbol: "IBM", before: "2026-01-01T00:00:00") { close } }',
        "{ quotes(limit: 99999999) { symbol } }",
    ]
    bodies = [json.dumps({"query": text}).encode() for text in [*documents, *(_words(chance) for _ in range(ROUNDS))]]
    bodies += [
        b"",
        b"null",
        b"[]",
        b'{"query": 1}',
        b"\xff",
        b'{"query": "{a}", "variables": 7}',
        b'[{"query": "{a}"}]',
    ]
    bodies += [chance.randbytes(chance.randrange(200)) for _ in range(ROUNDS)]
    for place, body in enumerate(bodies):
        status, said = page.ask("/graphql", data=body, Content_Type="application/json")
        assert status < 500, (body, said)
        if place < len(documents):
            assert "errors" in json.loads(said), body
    status, said = page.ask("/graphql", data=json.dumps({"query": good}).encode(), Content_Type="application/json")
    assert json.loads(said)["data"]["quotes"][0]["symbol"] == "IBM"


@pytest.mark.parametrize("path", ["live", "graphql"])
def test_the_sockets_take_whatever_is_sent(page: Web, bounded: None, path: str) -> None:
    del bounded
    chance = random.Random(11)  # noqa: S311 - repeatable, not secret
    protocols = ["graphql-transport-ws"] if path == "graphql" else None
    good = [
        '{"type": "subscribe", "symbol": "IBM", "interval": "1min"}',
        '{"type": "connection_init"}',
        json.dumps(
            {"id": "1", "type": "subscribe", "payload": {"query": 'subscription { bars(symbol: "IBM") { sequence } }'}}
        ),
    ]
    for _ in range(ROUNDS // 4):
        with (
            contextlib.suppress(ConnectionClosed),
            connect(f"ws://127.0.0.1:{page.port}/{path}", subprotocols=protocols, close_timeout=3) as connection,  # type: ignore[arg-type]
        ):
            for _ in range(chance.randrange(1, 30)):
                frame = chance.choice(good)
                match chance.randrange(4):
                    case 0:
                        at = chance.randrange(len(frame))
                        frame = frame[:at] + chance.choice(string.printable) + frame[at + 1 :]
                    case 1:
                        frame = "".join(chance.choice(string.printable) for _ in range(chance.randrange(300)))
                    case 2:
                        connection.send(chance.randbytes(chance.randrange(MOST_FRAME_BYTES)))
                connection.send(frame)
            with contextlib.suppress(TimeoutError):
                while True:
                    connection.recv(0.01)
    assert page.get("/api/feed")["readers"] == 0
