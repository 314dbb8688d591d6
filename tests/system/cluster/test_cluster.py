"""Several hosts work as one does: a bar goes in and a row comes out, and any one node or worker may be away."""

import pytest

from support.repository import group_vars
from support.waiting import eventually
from system.cluster.cluster import (
    ADDRESSES,
    BRIDGE,
    BROKER,
    CONSUMER,
    DRIVER,
    KAFKA,
    MASTER,
    SPARK,
    WORKER,
    Cluster,
)
from system.cluster.faults import killed, survives
from system.faults.injections import hang, kill, stopped
from system.invariants import assert_nothing_lost_or_doubled, await_progress
from system.neighbour import neighbour

_PORTS = group_vars("pipeline")["market_pulse_ports"]
_SSH = 22
# Seconds: how long bars may wait where a node is away, and until all that runs on its host is back.
_HEAL, _EXECUTOR = 60, 90

# Six hosts have to be deployed first.
pytestmark = pytest.mark.slow


def test_a_bar_goes_in_and_a_row_comes_out(cluster: Cluster) -> None:
    cluster.await_running(within=120)
    await_progress(cluster.database, within=60)
    assert_nothing_lost_or_doubled(cluster.database)


def test_every_record_is_on_three_nodes_that_all_vote(cluster: Cluster) -> None:
    cluster.await_in_step(on={1, 2, 3})
    assert cluster.voters() == {1, 2, 3}
    described = cluster.kafka("topics", "--describe --topic market.bars")
    assert "min.insync.replicas=2" in described


def test_both_workers_run_an_executor(cluster: Cluster) -> None:
    for name in SPARK:
        said = cluster.host(name).show(WORKER, "StatusText")["StatusText"]
        assert "1 executor" in said, said


@pytest.mark.parametrize("name", ADDRESSES)
def test_every_host_is_content(cluster: Cluster, name: str) -> None:
    host = cluster.host(name)
    assert host.run("systemctl is-system-running", check=False) == "running"
    assert host.run("market-pulse status >/dev/null; echo $?") in {"0", "1"}


def test_from_elsewhere_on_the_network_ssh_alone_is_open(cluster: Cluster) -> None:
    assert cluster.brokers == KAFKA
    with neighbour("mp-passer", "10.77.3.200/24", BRIDGE) as stranger:
        assert {name: stranger.open_ports(address) for name, address in ADDRESSES.items()} == {
            name: {_SSH} for name in ADDRESSES
        }


def test_a_second_run_changes_nothing(cluster: Cluster) -> None:
    cluster.assert_idempotent()


def test_a_stopped_node_of_kafkas_is_not_missed(cluster: Cluster) -> None:
    host = cluster.host(KAFKA[0])
    survives(cluster, stopped(host, BROKER), within=_HEAL, back=_HEAL)


@pytest.mark.parametrize("name", KAFKA[1:])
def test_any_other_is_not_missed_either(cluster: Cluster, name: str) -> None:
    survives(cluster, stopped(cluster.host(name), BROKER), within=_HEAL, back=_HEAL)


@pytest.mark.parametrize("name", KAFKA)
def test_a_killed_node_of_kafkas_is_not_missed(cluster: Cluster, name: str) -> None:
    survives(cluster, killed(cluster.host(name), BROKER), within=_HEAL, back=_HEAL)


def test_a_stopped_worker_is_not_missed(cluster: Cluster) -> None:
    survives(cluster, stopped(cluster.host(SPARK[1]), WORKER), within=_EXECUTOR, back=_EXECUTOR)


def test_a_stopped_worker_beside_the_driver_is_not_missed(cluster: Cluster) -> None:
    survives(cluster, stopped(cluster.host(SPARK[0]), WORKER), within=_EXECUTOR, back=_EXECUTOR)


def test_a_killed_master_is_back_and_the_stream_has_gone_on(cluster: Cluster) -> None:
    database, driver = cluster.database, cluster.host(DRIVER)
    await_progress(database, within=60)
    running = driver.show(CONSUMER, "InvocationID")
    kill(driver, MASTER)
    await_progress(database, within=_HEAL)
    driver.await_running(MASTER, within=_HEAL)
    for name in SPARK:
        cluster.host(name).await_sentence(WORKER, "registered with", within=_HEAL)
    assert driver.show(CONSUMER, "InvocationID") == running
    assert_nothing_lost_or_doubled(database)


def test_a_worker_that_hangs_is_restarted_and_not_missed(cluster: Cluster) -> None:
    database, host = cluster.database, cluster.host(SPARK[1])
    await_progress(database, within=60)
    before = host.show(WORKER, "NRestarts")
    hang(host, WORKER)
    await_progress(database, within=_EXECUTOR)
    # The other worker's executor may take all tasks long before the watchdog has seen that this one hangs.
    found = 2 * host.watchdog_seconds(WORKER)
    eventually(lambda: host.show(WORKER, "NRestarts") != before, within=found, what="it is restarted", every=1)
    host.await_sentence(WORKER, "registered with", within=found)
    assert_nothing_lost_or_doubled(database)
