"""Spark's pages show, and end nothing: their kill buttons are closed as the roles close them."""

import contextlib
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from integration.services.processes import wait_until
from integration.services.spark import SECRET, driver, master, worker
from support.repository import role_vars

_WAIT = """
import time
from pyspark.sql import SparkSession
SparkSession.builder.appName("wait").getOrCreate()
time.sleep(600)
"""
_PAGES = {"spark": ["_spark_master_defaults", "_spark_worker_defaults"], "consumer": ["_consumer_spark_settings"]}


def closed_by(role: str, page: str) -> str:
    written = role_vars(role)
    return str(written[page]["spark.ui.killEnabled"]).lower()


def test_the_roles_close_the_buttons_of_every_page() -> None:
    assert {closed_by(role, page) for role, pages in _PAGES.items() for page in pages} == {"false"}


@pytest.mark.parametrize("enabled", [closed_by("spark", "_spark_master_defaults"), "true"])
def test_an_application_is_ended_by_the_masters_page_only_where_that_is_open(tmp_path: Path, enabled: str) -> None:
    with (
        master(tmp_path, spark_ui_killEnabled=enabled) as leader,
        worker(tmp_path, leader.url, SECRET),
        driver(tmp_path, leader.url, SECRET, _WAIT) as waiting,
    ):

        def running() -> list[str]:
            with urllib.request.urlopen(f"http://127.0.0.1:{leader.page}/json/", timeout=10) as answer:
                return [application["id"] for application in json.load(answer)["activeapps"]]

        wait_until(running, what="the application runs", seconds=120, log=waiting.log)
        (name,) = running()
        kill = urllib.request.Request(
            f"http://127.0.0.1:{leader.page}/app/kill/", f"id={name}&terminate=true".encode(), method="POST"
        )
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(kill, timeout=10):  # noqa: S310
            pass
        if enabled == "true":
            wait_until(lambda: not running(), what="it is ended", seconds=30, log=leader.log)
        else:
            assert running() == [name]
            assert waiting.process.poll() is None
