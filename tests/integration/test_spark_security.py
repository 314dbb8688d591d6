"""Spark lets in whom it shares its secret with, names whom it refuses, and shows neither secret nor traffic."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.services.processes import wait_until
from integration.services.spark import SECRET, Master, driver, master, worker

# Looks, on an executor, at every process of this machine, and at what the driver's page shows of itself.
_LOOK = f"""
import pathlib, sys, urllib.request
from pyspark.sql import SparkSession

secret = {SECRET[:-1]!r} + {SECRET[-1]!r}

def holders(_):
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (path / name).read_bytes()
            except OSError:
                continue
            if secret.encode() in text:
                yield f"{{path}}/{{name}} {{text[:200]}}"

spark = SparkSession.builder.appName("look").getOrCreate().sparkContext
print("holders:", spark.parallelize([1], 1).mapPartitions(holders).collect())
page = f"{{spark.uiWebUrl}}/api/v1/applications/{{spark.applicationId}}/environment"
shown = urllib.request.urlopen(page).read().decode()
print("known:", "spark.authenticate.secret" in shown, "shown:", secret in shown)
"""
_WAIT = "from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate()"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with master(tmp_path_factory.mktemp("spark")) as running:
        yield running


@contextlib.contextmanager
def overheard(port: int) -> Iterator[tuple[int, bytearray]]:
    """Pass one connection on to a port of this machine, and keep all that is said on it."""
    heard = bytearray()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while text := source.recv(65536):
                heard.extend(text)
                target.sendall(text)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            near, _ = listener.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                answers = threading.Thread(target=pass_on, args=(far, near))
                answers.start()
                pass_on(near, far)
                answers.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        between = threading.Thread(target=serve)
        between.start()
        yield listener.getsockname()[1], heard
        between.join(30)


def test_who_shares_the_secret_works_and_no_process_or_page_shows_it(spark: Master, tmp_path: Path) -> None:
    with worker(tmp_path, spark.url, SECRET) as helper, driver(tmp_path, spark.url, SECRET, _LOOK) as looking:
        looking.process.wait(120)
        assert "holders: []" in looking.said, looking.said + helper.said
        assert "known: True shown: False" in looking.said
        written = [path for path in (tmp_path / "worker").rglob("*") if path.is_file() and "arguments" not in path.name]
        assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("secret", "said"), [("a guess", "Authentication failed for"), (None, "Unexpected challenge message from")]
)
def test_a_worker_that_does_not_share_it_is_refused_in_words(
    spark: Master, tmp_path: Path, secret: str | None, said: str
) -> None:
    before = len(spark.said)
    with worker(tmp_path, spark.url, secret) as stranger:
        refusal = f"<4>AuthRpcHandler: {said} client /127.0.0.1:"
        wait_until(lambda: refusal in spark.said[before:], what=refusal, seconds=60, log=stranger.log)
        wait_until(lambda: "Failed to connect to master" in stranger.said, what="it says so", seconds=60)
        assert spark.workers == 0


def test_a_driver_that_does_not_share_it_is_refused_in_words(spark: Master, tmp_path: Path) -> None:
    before = len(spark.said)
    with driver(tmp_path, spark.url, "a guess", _WAIT) as stranger:
        wait_until(
            lambda: "Authentication failed for client" in spark.said[before:],
            what="the master says whom it refuses",
            seconds=60,
            log=stranger.log,
        )
        wait_until(lambda: "Authentication failed." in stranger.said, what="so does the driver", seconds=60)


def test_what_a_worker_and_its_master_say_is_encrypted(spark: Master, tmp_path: Path) -> None:
    with overheard(spark.port) as (port, heard):
        with worker(tmp_path, f"spark://127.0.0.1:{port}", SECRET) as helper:
            wait_until(lambda: spark.workers == 1, what="the worker is registered", seconds=60, log=helper.log)
        assert len(heard) > 1000
        assert b"RegisterWorker" not in heard
        assert b"org.apache.spark" not in heard
