"""One node of Kafka's becomes three while bars are sent, and one that lost its disk comes back: by site.yml alone."""

from collections.abc import Iterator

import pytest

from system.cluster.cluster import ADDRESSES, BROKER, KAFKA, Cluster
from system.cluster.load import Load
from system.invariants import assert_nothing_lost_or_doubled, assert_positions_reach_the_logs_end, await_progress

pytestmark = pytest.mark.slow

_PER_SECOND = 200
_DATA = "/var/lib/market-pulse/kafka/data"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A pipeline with one node of Kafka's, which the tests let grow."""
    made = Cluster(tmp_path_factory.mktemp("g"), "cluster")
    made.down()
    made.has(name for name in ADDRESSES if name not in KAFKA[1:])
    try:
        made.up()
        made.converge()
        yield made
    finally:
        made.down()


def test_one_node_becomes_three_under_load_and_nothing_is_lost_or_doubled(grown: Cluster) -> None:
    database = grown.database
    await_progress(database, within=120)
    cluster_id = grown.host(KAFKA[0]).run(f"grep cluster.id {_DATA}/meta.properties")
    grown.has(ADDRESSES)
    grown.up()
    load = Load.begin(database, f"{ADDRESSES[KAFKA[0]]}:9092", bars=300 * _PER_SECOND, per_second=_PER_SECOND)
    try:
        grown.converge()
        load.assert_stored(within=600)
    finally:
        load.end()
    grown.await_in_step(on={1, 2, 3})
    assert grown.voters() == {1, 2, 3}
    assert {grown.host(name).run(f"grep cluster.id {_DATA}/meta.properties") for name in KAFKA} == {cluster_id}
    grown.await_running(within=60)
    await_progress(database, within=60)
    assert_nothing_lost_or_doubled(database)
    assert_positions_reach_the_logs_end(database)
    grown.assert_idempotent()


def test_a_node_that_lost_its_disk_is_replaced_by_deploying_again(grown: Cluster) -> None:
    host = grown.host(KAFKA[1])
    before = host.run(f"grep -h 'id=' {_DATA}/meta.properties").split()
    host.run(f"systemctl stop {BROKER} && rm -rf {_DATA}", timeout=120)
    await_progress(grown.database, within=60)
    grown.converge()
    after = host.run(f"grep -h 'id=' {_DATA}/meta.properties").split()
    # The same node of the same cluster, on another disk.
    assert len(set(before) - set(after)) == 1
    grown.await_in_step(on={1, 2, 3})
    assert grown.voters() == {1, 2, 3}
    await_progress(grown.database, within=60)
    assert_nothing_lost_or_doubled(grown.database)
    grown.assert_idempotent()
