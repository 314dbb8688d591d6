"""Readers who are slow, large, foreign or talk nonsense cost the others nothing, and are told why they go."""

import json
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from integration.services.web import Pipeline, Web
from market_pulse.web import hub, protocol
from support.waiting import eventually


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
