"""An operator who is not looking is told by the deployed host, under the sandbox it runs in."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from support.sinks import Sink, web_sink
from support.waiting import eventually
from system.deployment import HOST_NAME, INVENTORY, UNITS
from system.host import Host

_URL = urlsplit(INVENTORY["all"]["vars"]["market_pulse_alert_urls"])
_JOB = "market-pulse-alerts"
_DROPIN = f"/run/systemd/system/{_JOB}.service.d/test.conf"
_SOON = f"/run/{_JOB}-test.env"
_DOWN, _OVER = "down: market-pulse-producer is inactive", "over: market-pulse-producer is inactive"


@pytest.fixture
def sink(host: Host) -> Iterator[Sink]:
    """Whoever is told, on the lab's gateway, of what lasts from one run to the next."""
    host.await_running(*UNITS, within=180)
    well = "market-pulse status >/dev/null; echo $?"
    eventually(lambda: host.run(well) == "0", within=120, what="status says all is well")
    host.run(f"mkdir -p $(dirname {_DROPIN}) && echo MP_ALERT_AFTER_SECONDS=2 >{_SOON}")
    host.run(f"printf '[Service]\\nEnvironmentFile={_SOON}\\n' >{_DROPIN} && systemctl daemon-reload")
    try:
        with web_sink(str(_URL.hostname), int(_URL.port or 0)) as listening:
            yield listening
    finally:
        host.run(f"rm {_DROPIN} {_SOON} && systemctl daemon-reload")


def test_a_unit_that_stays_down_is_told_once_and_once_that_it_is_back(host: Host, sink: Sink) -> None:
    host.run("systemctl stop market-pulse-producer")
    try:
        eventually(lambda: _told_by_a_run(host, sink, _DOWN), within=60, what="an alert", every=3)
        host.run(f"systemctl start {_JOB}")
        assert len(_of_producer(sink, _DOWN)) == 1
        assert _of_producer(sink, _OVER) == []
    finally:
        host.run("systemctl start market-pulse-producer", timeout=200)
    eventually(lambda: _told_by_a_run(host, sink, _OVER), within=60, what="the end of it", every=3)
    assert (len(_of_producer(sink, _DOWN)), len(_of_producer(sink, _OVER))) == (1, 1)
    assert all(title.startswith(f"market-pulse on {HOST_NAME}: ") for title in sink.titles)
    assert host.show(f"{_JOB}.timer", "ActiveState") == {"ActiveState": "active"}
    assert host.show(_JOB, "Result") == {"Result": "success"}
    assert _URL.netloc not in host.run(f"journalctl -u {_JOB} -o cat")


def test_the_command_sends_a_message_through_the_channel(host: Host, sink: Sink) -> None:
    assert host.run("market-pulse alerts test") == "channel 1 (json): sent"
    assert [title.split(": ")[1] for title in sink.titles] == ["test"]


def _of_producer(sink: Sink, words: str) -> list[str]:
    """Return the messages that say this, whatever else the pause of the producer leads to."""
    return [body for _, body in sink.arrived if words in body]


def _told_by_a_run(host: Host, sink: Sink, words: str) -> list[str]:
    """Run the job without waiting for its minute; systemd starts it five times in ten seconds at most."""
    host.run(f"systemctl start {_JOB}")
    return _of_producer(sink, words)
