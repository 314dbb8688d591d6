"""A network that is cut between hosts: the others go on, and who was cut off joins them again by itself."""

import pytest

from system.cluster.cluster import BROKER, KAFKA, PRODUCER, SPARK, Cluster
from system.cluster.faults import cable_out, heals, split, survives
from system.faults.injections import last
from system.invariants import assert_nothing_lost_or_doubled, await_progress

# Seconds, as in test_cluster.py.
_HEAL, _EXECUTOR = 60, 90

pytestmark = pytest.mark.slow


def test_a_node_of_kafkas_without_a_cable_is_not_missed(cluster: Cluster) -> None:
    survives(cluster, cable_out(KAFKA[2]), within=_HEAL, back=_HEAL)


def test_a_worker_without_a_cable_is_not_missed(cluster: Cluster) -> None:
    survives(cluster, cable_out(SPARK[1]), within=_EXECUTOR, back=_EXECUTOR)


def test_a_cable_that_is_out_for_a_minute_is_soon_forgotten(cluster: Cluster) -> None:
    heals(cluster, cable_out(KAFKA[0]), after=60, back=_HEAL)


def test_controllers_that_do_not_hear_each_other_agree_again(cluster: Cluster) -> None:
    heals(cluster, split((KAFKA[0], KAFKA[1])), after=60, back=_HEAL)
    assert cluster.voters() == {1, 2, 3}


def test_a_node_that_hears_no_other_agrees_again(cluster: Cluster) -> None:
    heals(cluster, split((KAFKA[0], KAFKA[1]), (KAFKA[0], KAFKA[2])), after=60, back=_HEAL)
    assert cluster.voters() == {1, 2, 3}


def test_with_two_nodes_away_bars_wait_and_none_is_lost(cluster: Cluster) -> None:
    hosts = [cluster.host(name) for name in KAFKA[1:]]
    for host in hosts:
        host.run(f"systemctl stop {BROKER}", timeout=120)
    try:
        cluster.database.await_sentence(PRODUCER, "in the outbox", within=60)
        last(20)
    finally:
        for host in hosts:
            host.run(f"systemctl start --no-block {BROKER}")
    for host in hosts:
        host.await_running(BROKER, within=120)
    cluster.await_in_step(on={1, 2, 3})
    await_progress(cluster.database, within=_HEAL)
    assert_nothing_lost_or_doubled(cluster.database)
