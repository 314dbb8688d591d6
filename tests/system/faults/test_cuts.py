"""A cut connection is waited for: nothing restarts, and all goes on when it is whole again."""

import contextlib
import sys

import pytest

from system.deployment import BRIDGE, Deployment
from system.faults.injections import (
    CONSUMER,
    PRODUCER,
    last,
    overridden,
)
from system.faults.network import (
    BROKER_PORT,
    DATABASE_PORT,
    DRIVER_USER,
    PRODUCER_USER,
    SINK_USER,
    cut,
    delayed,
    lossy,
    narrow,
    unanswered,
)
from system.faults.trial import ANY, Trial
from system.host import Host
from system.neighbour import neighbour

# An analyst's tool that opens all the sessions it can get, and holds them for a while.
_FLOOD = """
import time, psycopg2
held, refused = [], 0
for _ in range(200):
    try:
        held.append(psycopg2.connect(connect_timeout=10))
    except psycopg2.OperationalError:
        refused += 1
time.sleep(15)
print(len(held), refused)
"""


@pytest.mark.parametrize(("fault", "refused"), [("N1", False), pytest.param("N2", True, marks=pytest.mark.slow)])
def test_a_producer_cut_off_from_the_broker_keeps_its_bars(
    host: Host,
    trial: Trial,
    fault: str,
    refused: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    what = f"producer's packets to the broker {'reset' if refused else 'lost'} for 30 s"
    with trial(fault, what, within=60), cut(host, PRODUCER_USER, BROKER_PORT, refused=refused):
        host.await_sentence(PRODUCER, "in the outbox", within=30)
        last(30)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "who", "user"), [("N5", "sink", SINK_USER), ("N5d", "driver", DRIVER_USER)])
def test_a_consumer_cut_off_from_the_database_tries_again(
    host: Host, trial: Trial, fault: str, who: str, user: str
) -> None:
    with trial(fault, f"{who}'s packets to PostgreSQL lost for 40 s", within=60), cut(host, user, DATABASE_PORT):
        last(40)


@pytest.mark.slow
def test_a_flood_of_readers_leaves_the_writer_its_place(deployment: Deployment, host: Host, trial: Trial) -> None:
    began = host.run("date --utc +%FT%TZ")
    with trial("N12", "200 sessions wanted by readers", within=15):
        with neighbour("mp-flood", "10.77.2.41/24", BRIDGE) as analyst:
            flood = analyst.run(sys.executable, "-c", _FLOOD, **deployment.analyst())
        assert flood.returncode == 0, flood.stderr
        held, refused = map(int, flood.stdout.split())
        assert 0 < held <= 20
        assert held + refused == 200
        assert host.number(f"select count(*) from market.batch where recorded_at > '{began}' and received > 0") > 0


@pytest.mark.slow
def test_a_sink_cut_off_for_longer_than_it_tries_is_started_again(host: Host, trial: Trial) -> None:
    restarts = {CONSUMER: ANY}
    what = "sink's packets to PostgreSQL lost for 5 min"
    with trial("N5x300", what, within=120, restarts=restarts, lasts=300), cut(host, SINK_USER, DATABASE_PORT):
        last(300)


@pytest.mark.slow
def test_a_producer_cut_off_for_five_minutes_keeps_its_bars(host: Host, trial: Trial) -> None:
    what = "producer's packets to the broker lost for 5 min"
    with trial("N1x300", what, within=60, lasts=300), cut(host, PRODUCER_USER, BROKER_PORT):
        host.await_sentence(PRODUCER, "degraded: no answer from the broker", within=200)
        last(300)


@pytest.mark.slow
def test_a_broker_whose_answers_are_lost_is_waited_for(host: Host, trial: Trial) -> None:
    with trial("N3", "all that the broker answers lost for 30 s", within=60), unanswered(host, BROKER_PORT):
        host.await_sentence(PRODUCER, "in the outbox", within=30)
        last(30)


@pytest.mark.slow
def test_a_network_that_loses_a_third_is_slow_and_nothing_else(host: Host, trial: Trial) -> None:
    ports = [BROKER_PORT, DATABASE_PORT]
    with trial("N7", "30 % of the packets lost for 60 s", within=60), lossy(host, *ports, percent=30):
        last(60)


@pytest.mark.slow
def test_a_narrow_way_to_the_broker_is_slow_and_nothing_else(host: Host, trial: Trial) -> None:
    way = narrow(host, PRODUCER_USER, BROKER_PORT, 32)
    with trial("N8", "256 kbit/s to the broker for 60 s", within=60), way:
        last(60)


@pytest.mark.slow
def test_a_long_way_to_the_database_is_slow_and_nothing_else(host: Host, trial: Trial) -> None:
    way = delayed(host, SINK_USER, DATABASE_PORT, 150)
    with trial("N9", "300 ms there and back to PostgreSQL for 60 s", within=60), way:
        last(60)


@pytest.mark.slow
def test_nobody_needs_to_be_told_a_name(host: Host, trial: Trial) -> None:
    units = [PRODUCER, CONSUMER]
    # A host whose own name leads nowhere, and nobody to ask.
    wrong = "printf '127.0.0.1 localhost\n192.0.2.1 %s\n' $(hostname) >/run/fault-hosts && : >/run/fault-resolv"
    bound = [
        f"BindReadOnlyPaths=/run/fault-{name}:/etc/{path}"
        for name, path in (("hosts", "hosts"), ("resolv", "resolv.conf"))
    ]
    with trial("N10", "names lead nowhere", within=120):
        host.run(wrong)
        with contextlib.ExitStack() as stack:
            for unit in units:
                stack.enter_context(overridden(host, unit, *bound))
                host.run(f"systemctl restart {unit}", timeout=120)
            host.await_running(*units, within=60)
        for unit in units:
            host.run(f"systemctl restart {unit}", timeout=120)
