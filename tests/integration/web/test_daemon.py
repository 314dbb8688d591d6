"""The daemon's life: without a database, watched, after its topic was made again, and on the LAN."""

import contextlib
import signal
import socket
import ssl
import subprocess
import uuid
from pathlib import Path

import pytest
import trustme
from websockets.sync.client import connect

from integration.services.broker import Broker
from integration.services.database import Database
from integration.services.web import TOKEN, LiveReader, Pipeline, Web, snapshot, web
from support.waiting import eventually


def test_without_a_database_the_page_says_so_and_goes_on_when_it_is_back(pipeline: Pipeline, page: Web) -> None:
    pipeline.tell(pipeline.bar("IBM", 0))
    pipeline.store()
    with pipeline.database.shut_out("web"):
        status, said = page.ask("/api/bars/IBM")
        assert (status, "no answer from the database" in said) == (503, True)
        health = page.get("/api/feed")
        assert (health["state"], "database" in health["sentence"]) == ("down", True)
    assert len(page.get("/api/bars/IBM")["bars"]) == 1
    pipeline.database.end_sessions("web")
    # A session that the server ended is made anew within the same request.
    assert len(page.get("/api/bars/IBM")["bars"]) == 1


def test_who_asks_before_anything_is_live_is_told_to_ask_again(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    pipeline = Pipeline(broker, database, f"bars-{uuid.uuid4().hex[:12]}")
    made = web(pipeline, tmp_path / "web")
    with made.daemon.running(ready=False):
        eventually(lambda: "starting: " in str(made.daemon.told()), within=30, what="it answers", every=0.1)
        with made.live() as reader:
            said = reader.subscribe("IBM")
            assert (said["type"], said["is_passing"]) == ("problem", True)
            assert "nothing is live yet" in said["reason"]
            reader.connection.send("{}")
            assert reader.next()["is_passing"] is False
            broker.create_topic(name=pipeline.topic)
            pipeline.tell(pipeline.bar("IBM", 0))
            snapshot(reader, "IBM", 1)
    broker.delete_topic(pipeline.topic)


def test_it_is_watched_by_its_own_progress_and_leaves_when_told(pipeline: Pipeline, page: Web) -> None:
    del pipeline
    eventually(lambda: "WATCHDOG=1" in page.daemon.told(), within=15, what="the watchdog is fed")
    assert page.daemon.end(signal.SIGTERM) == 0
    assert page.daemon.told()[-1] == "STOPPING=1"


@pytest.mark.slow
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
