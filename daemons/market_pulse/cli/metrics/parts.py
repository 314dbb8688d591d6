"""Figures of this host: its units, what its producer and consumer say, and what the host itself has left."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from market_pulse.cli.facts import Facts
from market_pulse.cli.host import FileSystem, Host
from market_pulse.cli.metrics.metric import Metric, Sample, one
from market_pulse.cli.report import unit_findings
from market_pulse.health import ConsumerProgress

_CALLS = ("per_day", "per_minute", "used_today", "left", "need", "reserve", "spare")


def _budget(facts: Facts) -> Mapping[str, object]:
    budget = (facts.producer or {}).get("budget")
    return budget if isinstance(budget, Mapping) else {}


def _calls(facts: Facts) -> Iterator[Sample]:
    for kind in _CALLS:
        # Where nothing is limited, there is no figure.
        if isinstance(count := _budget(facts).get(kind), int | float):
            yield (kind,), count


def _backlog(facts: Facts) -> Iterator[Sample]:
    backlog = _budget(facts).get("backlog")
    for cause, pieces in backlog.items() if isinstance(backlog, Mapping) else ():
        yield (cause,), pieces["open"]


def _outbox(facts: Facts) -> Iterator[Sample]:
    if facts.producer is not None and isinstance(waiting := facts.producer.get("outbox"), int):
        yield from one(waiting)


def _state(facts: Facts) -> Iterator[Sample]:
    if facts.producer is not None:
        yield (str(facts.producer.get("state")),), 1


def _consumer(read: Callable[[ConsumerProgress], float | datetime | None]) -> Callable[[Facts], Iterator[Sample]]:
    """Return a metric's samples: what is read of the consumer's report, where this host has one."""
    return lambda facts: one(read(facts.consumer) if facts.consumer else None)


def _host(read: Callable[[Host], float | None]) -> Callable[[Facts], Iterator[Sample]]:
    return lambda facts: one(read(facts.host) if facts.host else None)


def _systems(facts: Facts) -> tuple[FileSystem, ...]:
    return facts.host.file_systems if facts.host else ()


METRICS = (
    Metric(
        "asked_timestamp_seconds",
        "When these figures were asked, in real time.",
        (),
        ("at",),
        lambda facts: one(facts.at),
    ),
    Metric(
        "market_timestamp_seconds",
        "What time it was in the market then; the same but for a simulated market.",
        (),
        ("market_time",),
        lambda facts: one(facts.market_time),
    ),
    Metric(
        "interval_seconds",
        "The length of the bars that are collected.",
        (),
        ("interval",),
        lambda facts: one(facts.interval.total_seconds()),
    ),
    Metric(
        "grace_seconds",
        "How much market time a healthy pipeline may take from the vendor to the database.",
        (),
        ("grace",),
        lambda facts: one(facts.grace.total_seconds()),
    ),
    Metric(
        "unreachable",
        "1 for a part that cannot be asked; its figures are absent then.",
        ("part",),
        ("unreachable",),
        lambda facts: (((part,), 1) for part in facts.unreachable),
    ),
    Metric(
        "unit_up",
        "1 while a unit runs, or, for a job, has succeeded.",
        ("unit",),
        ("units.name", "units.active", "units.sub", "units.result", "units.is_job"),
        lambda facts: (((unit.name,), not any(unit_findings(unit))) for unit in facts.units or ()),
    ),
    Metric(
        "unit_restarts",
        "How often systemd has restarted a unit since it was started.",
        ("unit",),
        ("units.restarts",),
        lambda facts: (((unit.name,), unit.restarts) for unit in facts.units or ()),
    ),
    Metric(
        "producer_state",
        "1 for what the producer of this host is doing: polling, idle, degraded or stuck.",
        ("state",),
        ("producer",),
        _state,
    ),
    Metric(
        "outbox_bars",
        "Bars that the broker has not acknowledged yet.",
        (),
        ("producer",),
        _outbox,
    ),
    Metric(
        "vendor_calls",
        "Calls of the vendor's day: limits (per_day, per_minute), used_today, left, and what these are planned for.",
        ("kind",),
        ("producer",),
        _calls,
    ),
    Metric(
        "backlog_pieces",
        "Gaps and history that are still to be fetched.",
        ("cause",),
        ("producer",),
        _backlog,
    ),
    Metric(
        "batch_duration_seconds",
        "How long the newest batch of this host's consumer took.",
        (),
        ("consumer.batch_ms",),
        _consumer(lambda told: None if told.batch_ms is None else told.batch_ms / 1000),
    ),
    Metric(
        "batch_records",
        "How many records the newest batch had.",
        (),
        ("consumer.batch_rows",),
        _consumer(lambda told: told.batch_rows),
    ),
    Metric(
        "batch_timestamp_seconds",
        "When the newest batch was stored, in real time.",
        (),
        ("consumer.last_batch_at",),
        _consumer(lambda told: told.last_batch_at),
    ),
    Metric(
        "consumer_behind_records",
        "How many records waited when the newest batch was planned.",
        (),
        ("consumer.behind",),
        _consumer(lambda told: told.behind),
    ),
    Metric(
        "consumer_records",
        "How many records the consumer has stored since its start.",
        (),
        ("consumer.rows_total",),
        _consumer(lambda told: told.rows_total),
    ),
    Metric(
        "consumer_report_timestamp_seconds",
        "When the consumer last reported, in real time.",
        (),
        ("consumer.at",),
        _consumer(lambda told: told.at),
    ),
    Metric(
        "disk_used_bytes",
        "Used bytes of a file system that the pipeline writes to.",
        ("path",),
        ("host.file_systems.path", "host.file_systems.used_bytes"),
        lambda facts: (((system.path,), system.used_bytes) for system in _systems(facts)),
    ),
    Metric(
        "disk_available_bytes",
        "Bytes of it that a service may still take.",
        ("path",),
        ("host.file_systems.available_bytes",),
        lambda facts: (((system.path,), system.available_bytes) for system in _systems(facts)),
    ),
    Metric(
        "disk_used_inodes",
        "Used inodes of it.",
        ("path",),
        ("host.file_systems.used_inodes",),
        lambda facts: (((system.path,), system.used_inodes) for system in _systems(facts)),
    ),
    Metric(
        "disk_available_inodes",
        "Inodes of it that a service may still take.",
        ("path",),
        ("host.file_systems.available_inodes",),
        lambda facts: (((system.path,), system.available_inodes) for system in _systems(facts)),
    ),
    Metric(
        "memory_available_bytes",
        "Memory that may be taken without swapping.",
        (),
        ("host.memory_available_bytes",),
        _host(lambda host: host.memory_available_bytes),
    ),
    Metric(
        "clock_synchronised",
        "1 while the clock follows another one; absent in a container.",
        (),
        ("host.clock_synchronised",),
        _host(lambda host: host.clock_synchronised),
    ),
    Metric(
        "clock_step_seconds",
        "How far the clock was set since the producer of this host started.",
        (),
        ("host.clock_step_seconds",),
        _host(lambda host: host.clock_step_seconds),
    ),
    Metric(
        "certificate_end_timestamp_seconds",
        "When a certificate of this host ends.",
        ("path",),
        ("host.certificates.path", "host.certificates.ends_at"),
        lambda facts: (
            ((certificate.path,), certificate.ends_at.timestamp())
            for certificate in (facts.host.certificates if facts.host else ())
        ),
    ),
)
