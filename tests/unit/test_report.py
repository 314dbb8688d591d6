"""The driver's report, told by the calls that Spark and the batches make."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import UUID, uuid4

import pytest
from pyspark.sql.streaming.listener import QueryIdleEvent, QueryProgressEvent, QueryStartedEvent

from market_pulse import progress
from market_pulse_stream.report import Report
from market_pulse_stream.sink import Account

_QUERY: tuple[UUID, UUID] = (uuid4(), uuid4())
_STARTED = QueryStartedEvent(*_QUERY, "market-pulse", "2026-05-15T13:30:00.000Z", {})


def test_a_query_that_has_only_been_started_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    report = Report(path)
    report.write_if_alive()
    report.onQueryStarted(_STARTED)
    report.write_if_alive()
    report.batch_begins()
    report.write_if_alive()
    assert not path.exists()


@pytest.mark.parametrize(
    "word",
    [
        lambda report: report.onQueryIdle(QueryIdleEvent(*_QUERY, "2026-05-15T13:30:01.000Z")),
        lambda report: report.batch_ends(0, [Account(0, 0, 3, received=3, stored=3)]),
    ],
    ids=["idle", "batch"],
)
def test_the_first_word_of_the_query_is_reported(tmp_path: Path, word: Callable[[Report], None]) -> None:
    path = tmp_path / progress.NAME
    report = Report(path)
    report.onQueryStarted(_STARTED)
    word(report)
    report.write_if_alive()
    told = progress.read(path)
    assert told is not None
    assert told["behind"] == 0


def test_a_batch_that_is_being_stored_still_waits(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    report = Report(path)
    report.batch_ends(0, [])
    report.batch_begins()
    report.write_if_alive()
    assert (progress.read(path) or {})["behind"] == 1


def test_it_is_quiet_from_the_end_of_a_batch_on(tmp_path: Path) -> None:
    report = Report(tmp_path / progress.NAME)
    assert report.quiet_seconds() == math.inf
    report.batch_begins()
    assert report.quiet_seconds() == 0
    report.batch_ends(0, [])
    assert 0 <= report.quiet_seconds() < math.inf


def test_the_newest_batchs_length_is_reported_and_stays_while_nothing_comes(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    report = Report(path)
    for batch_id, milliseconds in ((0, 340), (1, 50)):
        # Spark tells of a trigger without a batch, too.
        report.batch_ends(batch_id, [Account(0, 0, 3, received=3, stored=3)] if batch_id == 0 else [])
        told = SimpleNamespace(batchId=batch_id, sources=[], durationMs={"triggerExecution": milliseconds})
        report.onQueryProgress(cast("QueryProgressEvent", SimpleNamespace(progress=told)))
        report.write_if_alive()
        assert (progress.read(path) or {})["batch_ms"] == 340
