"""A driver takes nothing for granted that a Spark master says while it comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.services.processes import wait_until
from integration.services.spark import SECRET, Master, driver, master, worker
from support.ports import free_port

_REGISTER = """
import time
from pyspark.sql import SparkSession
SparkSession.builder.getOrCreate()
print("registered", flush=True)
time.sleep(600)
"""
_WORK = """
from market_pulse.errors import ClusterError
from market_pulse_stream import cluster
cluster._EXECUTOR_SECONDS = 12
try:
    spark = cluster.session({page})
    print("done:", spark.sparkContext.parallelize([1, 2]).count(), flush=True)
except ClusterError as error:
    print("refused:", error, flush=True)
"""
# As long does the master look for whom it knew: longer than a driver takes to get there.
_RECOVERY_SECONDS = 20


@pytest.fixture
def revenant(tmp_path: Path) -> Iterator[tuple[Master, int]]:
    """A master that has come back and looks for a driver that has not, with the port of that one; there is a worker."""
    properties = {
        "spark_deploy_recoveryMode": "FILESYSTEM",
        "spark_deploy_recoveryDirectory": tmp_path / "recovery",
        "spark_worker_timeout": _RECOVERY_SECONDS,
    }
    before, after, port = tmp_path / "before", tmp_path / "after", free_port()
    before.mkdir()
    after.mkdir()
    with master(before, **properties) as first:
        with driver(before, first.url, SECRET, _REGISTER, port) as lost:
            wait_until(lambda: "registered" in lost.said, what="a driver is registered", seconds=120, log=lost.log)
            first.process.kill()
            lost.process.kill()
        first.process.wait(30)
        with master(after, first.port, **properties) as second, worker(after, second.url, SECRET):
            yield second, port


@pytest.mark.slow
def test_a_driver_waits_for_a_master_that_looks_for_an_older_one(revenant: tuple[Master, int], tmp_path: Path) -> None:
    spark, port = revenant
    with driver(tmp_path, spark.url, SECRET, _WORK.format(page=spark.page), port) as fresh:
        fresh.process.wait(120)
        assert "done: 2" in fresh.said, fresh.said


@pytest.mark.slow
def test_a_driver_that_was_forgotten_says_so_and_the_next_is_not(revenant: tuple[Master, int], tmp_path: Path) -> None:
    spark, port = revenant
    forgotten, following = tmp_path / "forgotten", tmp_path / "following"
    forgotten.mkdir()
    following.mkdir()
    with driver(forgotten, spark.url, SECRET, _WORK.format(page=None), port) as fresh:
        fresh.process.wait(120)
        assert "refused: no Spark worker has run an executor for this driver within 12 seconds" in fresh.said
        assert "market-pulse-spark-worker" in fresh.said
    with driver(following, spark.url, SECRET, _WORK.format(page=None), port) as fresh:
        fresh.process.wait(120)
        assert "done: 2" in fresh.said, fresh.said


def test_a_master_that_is_not_there_is_named(tmp_path: Path) -> None:
    work = "import market_pulse_stream.cluster as c; c._MASTER_SECONDS = 2\n" + _WORK.format(page=free_port())
    with driver(tmp_path, "spark://127.0.0.1:1", SECRET, work) as fresh:
        fresh.process.wait(60)
        assert "refused: the Spark master on this host is not ready for 2 seconds" in fresh.said
        assert "tells ConnectionError: see systemctl status market-pulse-spark-master" in fresh.said
