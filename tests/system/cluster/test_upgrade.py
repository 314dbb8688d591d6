"""Nodes of the release of Kafka's before are upgraded one after the other under load, go back, come again, and stay."""

from collections.abc import Iterator

import pytest

from support.repository import group_vars
from system.cluster.cluster import ADDRESSES, KAFKA, SPARK, Cluster
from system.cluster.load import Load
from system.invariants import assert_nothing_lost_or_doubled, assert_positions_reach_the_logs_end, await_progress

pytestmark = pytest.mark.slow

_PER_SECOND = 200
_NOW, _BEFORE = (group_vars("versions")[name] for name in ("kafka_version", "kafka_previous_version"))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster, with one host for Spark, whose Kafka is of the release before."""
    made = Cluster(tmp_path_factory.mktemp("u"), "cluster")
    made.down()
    made.has(name for name in ADDRESSES if name not in SPARK[1:])
    try:
        made.up()
        made.play("site.yml", "-e", f"kafka_version={_BEFORE}")
        yield made
    finally:
        made.down()


def releases(cluster: Cluster) -> set[str]:
    """Return which releases the nodes' processes run from."""
    loaded = "ls -l /proc/$(pgrep --full [k]afka.Kafka | tail -1)/fd | grep -o 'kafka-clients-[0-9.]*[0-9]'"
    return {cluster.host(name).run(loaded).splitlines()[0].removeprefix("kafka-clients-") for name in KAFKA}


@pytest.mark.parametrize(("way", "release"), [("up", _NOW), ("back", _BEFORE), ("up again", _NOW)])
def test_nodes_change_their_release_under_load_and_nothing_is_lost_or_doubled(
    older: Cluster, way: str, release: str
) -> None:
    database = older.database
    await_progress(database, within=120)
    load = Load.begin(database, f"{ADDRESSES[KAFKA[0]]}:9092", bars=60 * _PER_SECOND, per_second=_PER_SECOND)
    try:
        older.play("site.yml", "--tags", "kafka", "-e", f"kafka_version={release}")
        load.assert_stored(within=600)
    finally:
        load.end()
    assert releases(older) == {release}, way
    older.await_in_step(on={1, 2, 3})
    older.await_running(within=60)
    await_progress(database, within=60)
    assert_nothing_lost_or_doubled(database)
    assert_positions_reach_the_logs_end(database)


def test_what_is_finished_is_of_this_release_for_good(older: Cluster) -> None:
    older.play("finish_upgrade.yml")
    printed = older.play("finish_upgrade.yml")
    assert "changed=0" in printed
    (line,) = [row for row in older.kafka("features", "describe").splitlines() if "metadata.version" in row]
    assert f"FinalizedVersionLevel: {'.'.join(_NOW.split('.')[:2])}" in " ".join(line.split())
    await_progress(older.database, within=60)
    older.assert_idempotent()
