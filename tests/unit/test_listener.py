"""What a listener hears of a batch, from the JSON that Java has of it."""

import json
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

from market_pulse import progress
from market_pulse_stream.listener import _InOneCall
from market_pulse_stream.report import Report
from market_pulse_stream.sink import Account

_SOURCE = {
    "description": "KafkaV2[Subscribe[bars]]",
    "startOffset": {"bars": {"0": 4}},
    "endOffset": {"bars": {"0": 7}},
    "latestOffset": {"bars": {"0": 9}},
    "numInputRows": 3,
    "inputRowsPerSecond": 3.0,
    "processedRowsPerSecond": 3.0,
    "metrics": {},
}
_BATCH = {
    "id": str(uuid4()),
    "runId": str(uuid4()),
    "name": "market-pulse",
    "timestamp": "2026-05-15T13:30:00.000Z",
    "batchId": 12,
    "batchDuration": 340,
    "numInputRows": 3,
    "inputRowsPerSecond": 3.0,
    "processedRowsPerSecond": 3.0,
    "durationMs": {"triggerExecution": 340, "addBatch": 300},
    "eventTime": {},
    "stateOperators": [],
    "sources": [_SOURCE],
    "sink": {"description": "ForeachBatchSink", "numOutputRows": -1, "metrics": {}},
    "observedMetrics": {},
}


def test_what_a_batch_did_is_heard_from_one_answer_of_java(tmp_path: Path) -> None:
    report = Report(tmp_path / progress.NAME)
    report.batch_ends(12, [Account(0, 4, 7, received=3, stored=3)])
    # Whatever else were asked of it, it does not have.
    told = SimpleNamespace(json=lambda: json.dumps(_BATCH))
    _InOneCall(report).onQueryProgress(SimpleNamespace(progress=lambda: told))
    report.write_if_alive()
    written = progress.read(tmp_path / progress.NAME) or {}
    assert (written["batch_ms"], written["behind"]) == (340, 2)
