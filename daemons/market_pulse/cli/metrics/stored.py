"""Figures of the database and of the topic: freshness, completeness, accounts, lag."""

from collections import Counter
from dataclasses import fields
from datetime import UTC, datetime, time

from market_pulse.cli.facts import Completeness, Facts, Ledger, Series
from market_pulse.cli.metrics.metric import Metric, Sample, one

_KEYS = ("symbol", "interval")
_FATES = tuple(field.name for field in fields(Ledger))
_SESSION = tuple(field.name for field in fields(Completeness) if field.type == "int" or field.type is int)


def _key(series: Series | Completeness) -> tuple[str, str]:
    return series.symbol, series.interval


def _session(facts: Facts) -> list[Sample]:
    return [((*_key(row), fate), getattr(row, fate)) for row in facts.completeness for fate in _SESSION]


METRICS = (
    Metric(
        "bar_age_seconds",
        "How far the newest stored bar's begin is behind market time.",
        _KEYS,
        ("series.symbol", "series.interval", "series.age"),
        lambda facts: ((_key(row), row.age.total_seconds()) for row in facts.series),
    ),
    Metric(
        "bar_timestamp_seconds",
        "When the newest stored bar begins, in market time.",
        _KEYS,
        ("series.bar_time",),
        lambda facts: ((_key(row), row.bar_time.timestamp()) for row in facts.series),
    ),
    Metric(
        "bar_fetched_timestamp_seconds",
        "When the vendor told the newest stored bar, in market time.",
        _KEYS,
        ("series.fetched_at",),
        lambda facts: ((_key(row), row.fetched_at.timestamp()) for row in facts.series),
    ),
    Metric(
        "bars",
        "Bars in the database; above 100000 an estimate.",
        (),
        ("bars",),
        lambda facts: one(facts.bars),
    ),
    Metric(
        "months_in_default_partition",
        "Months whose bars are in the default partition.",
        (),
        ("months_in_default",),
        lambda facts: one(None if facts.bars is None else len(facts.months_in_default)),
    ),
    Metric(
        "ledger_records",
        "Records that the sink has received in the last 24 hours, and what became of them.",
        ("fate",),
        tuple(f"ledger.{fate}" for fate in _FATES),
        lambda facts: (((fate,), getattr(facts.ledger, fate)) for fate in _FATES) if facts.ledger else (),
    ),
    Metric(
        "quarantined_records",
        "Records in quarantine that neither a replay nor an operator has settled.",
        ("reason",),
        ("quarantine",),
        lambda facts: (((reason,), count) for reason, count in facts.quarantine.items()),
    ),
    Metric(
        "session_bars",
        "Bars of the newest session: expected, stored, and why others are absent; missing: without a reason.",
        (*_KEYS, "fate"),
        ("completeness.symbol", "completeness.interval", *(f"completeness.{fate}" for fate in _SESSION)),
        _session,
    ),
    Metric(
        "session_date_timestamp_seconds",
        "Midnight UTC of the date of the newest session.",
        _KEYS,
        ("completeness.trading_date",),
        lambda facts: (
            (_key(row), datetime.combine(row.trading_date, time(), UTC).timestamp()) for row in facts.completeness
        ),
    ),
    Metric(
        "audit_findings",
        "What the auditor has found and nobody has acknowledged.",
        ("kind",),
        ("audit.kind",),
        lambda facts: (((kind,), count) for kind, count in Counter(found.kind for found in facts.audit).items()),
    ),
    Metric(
        "run_timestamp_seconds",
        "When a job last came to its end, in real time.",
        ("job",),
        ("runs.finished_at",),
        lambda facts: (((job,), run.finished_at.timestamp()) for job, run in facts.runs.items()),
    ),
    Metric(
        "lost_ranges",
        "Ranges of offsets that were lost and that nobody has accepted.",
        (),
        ("losses",),
        lambda facts: one(None if facts.bars is None else len(facts.losses)),
    ),
    Metric(
        "partition_end_offset",
        "The offset after the last record of a partition.",
        ("partition",),
        ("partitions.partition", "partitions.end_offset"),
        lambda facts: (((str(part.partition),), part.end_offset) for part in facts.partitions),
    ),
    Metric(
        "partition_next_offset",
        "The offset after the last stored record of a partition; the difference to the end is the lag in records.",
        ("partition",),
        ("partitions.next_offset",),
        lambda facts: (((str(part.partition),), part.next_offset) for part in facts.partitions),
    ),
    Metric(
        "partition_held",
        "1 while nothing of a partition is stored until a loss is accepted.",
        ("partition",),
        ("partitions.held",),
        lambda facts: (((str(part.partition),), part.held is not None) for part in facts.partitions),
    ),
    Metric(
        "lag_seconds",
        "How far what is stored is behind what was polled, in market time; on the producer's host alone.",
        ("symbol",),
        ("producer", "partitions", "series"),
        lambda facts: (((symbol,), lag.total_seconds()) for symbol, lag in facts.lags.items()),
    ),
)
