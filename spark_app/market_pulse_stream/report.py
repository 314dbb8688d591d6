"""What the driver tells about itself: the progress file, and one line of the log per batch."""

import json
import logging
import math
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec
from pyspark.sql.streaming.listener import (
    QueryIdleEvent,
    QueryProgressEvent,
    QueryStartedEvent,
    QueryTerminatedEvent,
    StreamingQueryProgress,
)

from market_pulse import progress
from market_pulse.health import ConsumerProgress
from market_pulse.log import event
from market_pulse_stream.listener import QueryListener
from market_pulse_stream.sink import Account

# Spark reports an idle query at this interval; without a word for several of them, the query is not alive.
IDLE_REPORT_SECONDS = 3
_SILENCE_SECONDS = 15

_FATES = ("received", "stored", "unchanged", "superseded", "quarantined", "answers", "empty", "skipped")
_log = logging.getLogger(__name__)


class Report(QueryListener):
    """Collects what the query and its batches tell, from Spark's threads and the driver's loop."""

    def __init__(self, path: Path) -> None:
        """Report to the progress file at `path`."""
        self._path = path
        self._lock = threading.Lock()
        self._accounts: dict[int, Sequence[Account]] = {}
        self._batch_running = False
        self._heard_at: float | None = None
        self._stored_at = -math.inf
        self._facts = ConsumerProgress(
            at=datetime.now(UTC),
            state="running",
            batch_id=-1,
            batch_rows=0,
            rows_total=0,
            last_batch_at=None,
            behind=0,
        )

    def batch_begins(self) -> None:
        """Note that records are being stored."""
        with self._lock:
            self._batch_running = True

    def batch_ends(self, batch_id: int, accounts: Sequence[Account]) -> None:
        """Note what became of a batch's records."""
        received = sum(account.received + account.answers for account in accounts)
        now = datetime.now(UTC)
        with self._lock:
            self._batch_running = False
            self._accounts[batch_id] = accounts
            self._heard_at = self._stored_at = monotonic()
            self._facts = msgspec.structs.replace(
                self._facts,
                batch_id=batch_id,
                batch_rows=received,
                rows_total=self._facts.rows_total + received,
                last_batch_at=now,
            )

    def quiet_seconds(self) -> float:
        """Return for how long no batch has been stored; 0 while one is."""
        with self._lock:
            return 0 if self._batch_running else monotonic() - self._stored_at

    def write_if_alive(self) -> None:
        """Write the progress file, unless the query has not spoken yet or fell silent: its absence or age tells."""
        with self._lock:
            if self._heard_at is None:
                return
            if not self._batch_running and monotonic() - self._heard_at > _SILENCE_SECONDS:
                return
            # What is being stored still waits, so a batch that never ends is seen as one.
            behind = max(self._facts.behind, 1) if self._batch_running else self._facts.behind
            facts = msgspec.structs.replace(self._facts, at=datetime.now(UTC), behind=behind)
        progress.write(self._path, msgspec.to_builtins(facts))

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802 - Spark's names
        """Hear that the query was started, which says nothing of topic and executors: they were not reached yet."""

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: ARG002, N802 - Spark's names
        """Hear that nothing waits."""
        self._hear(behind=0)

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802 - Spark's name
        """Hear that a batch is committed, and log it."""
        behind = records_behind(event.progress)
        self._hear(behind=behind)
        with self._lock:
            accounts = self._accounts.pop(event.progress.batchId, None)
            if accounts:
                self._facts = msgspec.structs.replace(self._facts, batch_ms=_milliseconds(event.progress))
        if accounts:
            _log_batch(event.progress, accounts, behind)

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802 - Spark's name
        """Hear the end, which the driver's loop sees by itself."""

    def _hear(self, behind: int) -> None:
        with self._lock:
            self._heard_at = monotonic()
            self._facts = msgspec.structs.replace(self._facts, behind=behind)


def records_behind(spark_progress: StreamingQueryProgress) -> int:
    """Return how many records the topic held beyond the batch when it was planned."""
    total = 0
    for source in spark_progress.sources:
        end, latest = (json.loads(text) if text else {} for text in (source.endOffset, source.latestOffset))
        for topic, partitions in latest.items():
            total += sum(offset - end.get(topic, {}).get(partition, 0) for partition, offset in partitions.items())
    return total


def _milliseconds(spark_progress: StreamingQueryProgress) -> int:
    return int(spark_progress.durationMs.get("triggerExecution", 0))


def _log_batch(spark_progress: StreamingQueryProgress, accounts: Sequence[Account], behind: int) -> None:
    counts = {fate: sum(getattr(account, fate) for account in accounts) for fate in _FATES}
    level = logging.WARNING if counts["quarantined"] else logging.INFO
    seconds = _milliseconds(spark_progress) / 1000
    event(_log, level, "batch stored", batch=spark_progress.batchId, **counts, behind=behind, seconds=seconds)
