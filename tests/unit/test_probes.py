import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from market_pulse import progress
from market_pulse.health import Verdict
from market_pulse.probes import spark
from market_pulse.probes.consumer import ConsumerProbe

REPORT = {"state": "running", "batch_rows": 1, "rows_total": 9, "last_batch_at": None}


class Driver:
    """A Spark driver's reports, and a clock that the test turns; `due` is what it writes while it is looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.due: dict[str, int] | None = None
        self.probe = ConsumerProbe(path, lambda: self.now, self.rest)

    def report(self, **changes: int) -> None:
        at = f"2026-05-15T13:30:00.{int(self.now * 1000):06d}Z"
        progress.write(self.path, {**REPORT, "at": at, **changes})

    def rest(self, seconds: float) -> None:
        self.now += seconds
        if self.due:
            self.report(**self.due)
            self.due = None

    def after(self, seconds: float, *, batch_id: int, behind: int) -> Verdict:
        self.now += seconds
        if not self.path.exists():
            self.report(batch_id=batch_id, behind=behind)
        self.due = {"batch_id": batch_id, "behind": behind}
        return self.probe()


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path / progress.NAME)


def test_a_batch_that_does_not_end_is_stuck_however_often_it_is_reported(driver: Driver) -> None:
    assert driver.after(0, batch_id=7, behind=5).healthy
    assert driver.after(59, batch_id=7, behind=5).healthy
    assert driver.after(59, batch_id=7, behind=5).healthy
    assert driver.after(2, batch_id=7, behind=5).sentence.startswith("stuck: 5 records to store, batch 7 ")
    assert driver.after(1, batch_id=8, behind=5).healthy


def test_an_idle_consumer_is_healthy_for_days_and_a_wait_counts_from_its_end(driver: Driver) -> None:
    for _ in range(5):
        assert driver.after(86_400, batch_id=7, behind=0).healthy
    assert driver.after(10, batch_id=7, behind=3).healthy
    assert driver.after(115, batch_id=7, behind=3).sentence.startswith("stuck")


def test_the_same_report_twice_is_no_progress(driver: Driver) -> None:
    assert driver.after(0, batch_id=7, behind=0).healthy
    driver.now += 15
    assert driver.probe() == Verdict(healthy=False, sentence="stuck: no news from the Spark driver for 20 s")


def test_a_report_of_before_the_look_is_no_news(driver: Driver) -> None:
    assert driver.after(0, batch_id=7, behind=0).healthy
    driver.now += 20
    driver.report(batch_id=8, behind=0)
    assert driver.probe().sentence == "stuck: no news from the Spark driver for 5 s"


@pytest.mark.parametrize("text", ["{", '{"batch_id": 1}', "[]"])
def test_a_report_that_is_none_is_said(driver: Driver, text: str) -> None:
    driver.path.write_text(text)
    verdict = driver.probe()
    assert not verdict.healthy
    assert verdict.sentence.startswith("the Spark driver's report is not one: ")


class Pages:
    """The JSON pages of a master and of a worker, on loopback."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.servers = {name: self._serve(name) for name in ("master", "worker")}

    def port(self, name: str) -> int:
        return int(self.servers[name].server_address[1])

    def close(self, name: str) -> None:
        server = self.servers.pop(name)
        server.shutdown()
        server.server_close()

    def _serve(self, name: str) -> ThreadingHTTPServer:
        answers = self.answers

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/json/" else 404)
                self.end_headers()
                self.wfile.write(json.dumps(answers[name]).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    made = Pages()
    monkeypatch.setenv("MP_SPARK_MASTER_UI_PORT", str(made.port("master")))
    monkeypatch.setenv("MP_SPARK_WORKER_UI_PORT", str(made.port("worker")))
    # As Spark 4.2 writes them, shortened.
    made.answers["master"] = {
        "url": "spark://127.0.0.1:7077",
        "workers": [{"id": "worker-1", "host": "127.0.0.1", "state": "ALIVE"}],
        "activeapps": [],
        "status": "ALIVE",
    }
    made.answers["worker"] = {
        "id": "worker-1",
        "masterurl": "spark://127.0.0.1:7077",
        "cores": 2,
        "coresused": 0,
        "executors": [],
    }
    yield made
    for name in list(made.servers):
        made.close(name)


def test_spark_as_it_should_be(pages: Pages) -> None:
    assert pages.answers
    assert spark.master_probe()() == Verdict(healthy=True, sentence="alive: 1 worker, 0 applications")
    assert spark.worker_probe()() == Verdict(
        healthy=True, sentence="registered with spark://127.0.0.1:7077: 0 executors, 0 of 2 cores in use"
    )


def test_a_worker_that_its_master_lost(pages: Pages) -> None:
    pages.answers["master"]["workers"][0]["state"] = "DEAD"
    assert not spark.worker_probe()().healthy


def test_a_worker_whose_master_is_away_is_not_to_blame(pages: Pages) -> None:
    pages.close("master")
    assert not spark.master_probe()().healthy
    assert spark.worker_probe()().sentence.startswith("degraded: no answer from the master's page")


def test_a_worker_on_another_host_than_its_master(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.close("master")
    monkeypatch.setenv("MP_SPARK_MASTER_UI_PORT", "")
    assert spark.worker_probe()().sentence.startswith("registered with ")


def test_a_page_that_is_something_else(pages: Pages) -> None:
    pages.answers["worker"] = {"hello": "world"}
    assert spark.worker_probe()() == Verdict(healthy=False, sentence="its page does not answer: ValidationError")
