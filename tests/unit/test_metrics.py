"""The figures for Prometheus: nothing of the status is left out, and what is printed is what was seen."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from market_pulse.cli import metrics
from market_pulse.cli.backups import Archive, Backups, Failed, Made, Proven
from market_pulse.cli.facts import AuditFinding, Completeness, Facts, Ledger, Partition, Run, Series, Unit
from market_pulse.cli.host import Certificate, FileSystem, Host
from market_pulse.cli.replication import Replication, Slot, Standby
from market_pulse.cli.report import assess
from market_pulse.health import ConsumerProgress
from support.repository import ROOT

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
FACTS = Facts(
    at=NOW,
    market_time=NOW + timedelta(minutes=1),
    interval=timedelta(minutes=1),
    grace=timedelta(seconds=30),
    units=(
        Unit("market-pulse-kafka", "active", "running", "success", 2, "serving"),
        Unit("market-pulse-upkeep", "failed", "failed", "exit-code", 0, "", is_job=True),
    ),
    series=(Series("IBM", "1min", NOW - timedelta(minutes=1), NOW, timedelta(minutes=2)),),
    bars=90,
    months_in_default=(date(2025, 3, 1),),
    ledger=Ledger(received=100, stored=92, unchanged=4, superseded=3, quarantined=1),
    quarantine={"bad_price": 3},
    completeness=(Completeness("IBM", "1min", date(2026, 1, 5), 390, 27, 2, 0, 0, 0, 0, 1, 353, 0, 7),),
    audit=(AuditFinding("missing", "IBM 1min", "gone", NOW), AuditFinding("missing", "MSFT 1min", "gone", NOW)),
    runs={"audit": Run(NOW, "complete"), "deep audit": Run(NOW, "complete")},
    partitions=(Partition(0, 60, 50), Partition(1, 40, 40, "lost 3")),
    losses=("offsets 0 to 3",),
    producer={
        "state": "polling",
        "outbox": 5,
        "last_bars": {"IBM": NOW.isoformat()},
        "budget": {"left": 7, "per_day": None, "backlog": {"repair": {"open": 2, "oldest": ""}}},
    },
    consumer=ConsumerProgress(
        at=NOW, state="running", batch_id=3, batch_rows=12, rows_total=90, last_batch_at=NOW, behind=1, batch_ms=340
    ),
    host=Host(
        (FileSystem("/var/log", 10, 90, 3, 97),),
        1024,
        clock_synchronised=False,
        clock_step_seconds=0.5,
        certificates=(Certificate("/etc/market-pulse/ca.crt", NOW + timedelta(days=400)),),
    ),
    backups=Backups(
        (
            Made("1F", "full", NOW - timedelta(days=2)),
            Made("2D", "diff", NOW - timedelta(days=1)),
            Made("3D", "diff", NOW),
        ),
        Proven(NOW - timedelta(hours=3), NOW - timedelta(hours=4), 88),
        Failed(NOW - timedelta(hours=1), "different", "market.bar_2026_01 has other values"),
        Archive(2, NOW - timedelta(minutes=1), NOW - timedelta(minutes=2)),
    ),
    replication=Replication(
        "10.0.0.1",
        (Standby("10.0.0.2", behind_bytes=4096, behind_seconds=0.5), Standby("10.0.0.3", problem="refused")),
        (Slot("standby_db2", is_active=True, is_lost=False), Slot("standby_db3", is_active=False, is_lost=True)),
    ),
    unreachable={"Kafka": "no brokers"},
)
# Words for people, and what another figure says.
NOT_SHOWN = {
    "units.sentence",
    "audit.subject",
    "audit.sentence",
    "audit.found_at",
    "runs.sentence",
    "bars_are_estimated",
    "consumer.state",
    "consumer.batch_id",
    "backups.made.label",
    "backups.failed.sentence",
}


def printed(facts: Facts) -> dict[str, float]:
    """Return the samples of the text, by name and the values of its labels, these by their names."""
    return {
        " ".join([sample.name.removeprefix("market_pulse_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(metrics.text(assess(facts)).decode())
        for sample in family.samples
    }


def test_every_figure_is_printed() -> None:
    at, tomorrow = NOW.timestamp(), (NOW + timedelta(days=400)).timestamp()
    assert printed(FACTS) == {
        "level": 2,
        "findings attention": 10,
        "findings down": 4,
        "asked_timestamp_seconds": at,
        "market_timestamp_seconds": at + 60,
        "interval_seconds": 60,
        "grace_seconds": 30,
        "unreachable Kafka": 1,
        "unit_up market-pulse-kafka": 1,
        "unit_up market-pulse-upkeep": 0,
        "unit_restarts market-pulse-kafka": 2,
        "unit_restarts market-pulse-upkeep": 0,
        "producer_state polling": 1,
        "outbox_bars": 5,
        "vendor_calls left": 7,
        "backlog_pieces repair": 2,
        "batch_duration_seconds": 0.34,
        "batch_records": 12,
        "batch_timestamp_seconds": at,
        "consumer_behind_records": 1,
        "consumer_records": 90,
        "consumer_report_timestamp_seconds": at,
        "disk_used_bytes /var/log": 10,
        "disk_available_bytes /var/log": 90,
        "disk_used_inodes /var/log": 3,
        "disk_available_inodes /var/log": 97,
        "memory_available_bytes": 1024,
        "clock_synchronised": 0,
        "clock_step_seconds": 0.5,
        "certificate_end_timestamp_seconds /etc/market-pulse/ca.crt": tomorrow,
        "bar_age_seconds 1min IBM": 120,
        "bar_timestamp_seconds 1min IBM": at - 60,
        "bar_fetched_timestamp_seconds 1min IBM": at,
        "bars": 90,
        "months_in_default_partition": 1,
        "ledger_records received": 100,
        "ledger_records stored": 92,
        "ledger_records unchanged": 4,
        "ledger_records superseded": 3,
        "ledger_records quarantined": 1,
        "quarantined_records bad_price": 3,
        "session_bars expected 1min IBM": 390,
        "session_bars stored 1min IBM": 27,
        "session_bars no_trade 1min IBM": 2,
        "session_bars halt 1min IBM": 0,
        "session_bars halt_inferred 1min IBM": 0,
        "session_bars quota 1min IBM": 0,
        "session_bars outage 1min IBM": 0,
        "session_bars vendor_missing 1min IBM": 1,
        "session_bars pending 1min IBM": 353,
        "session_bars quarantined 1min IBM": 0,
        "session_bars missing 1min IBM": 7,
        "session_date_timestamp_seconds 1min IBM": datetime(2026, 1, 5, tzinfo=UTC).timestamp(),
        "audit_findings missing": 2,
        "run_timestamp_seconds audit": at,
        "run_timestamp_seconds deep audit": at,
        "lost_ranges": 1,
        "partition_end_offset 0": 60,
        "partition_end_offset 1": 40,
        "partition_next_offset 0": 50,
        "partition_next_offset 1": 40,
        "partition_held 0": 0,
        "partition_held 1": 1,
        "lag_seconds IBM": 60,
        "backup_timestamp_seconds full": at - 2 * 86400,
        "backup_timestamp_seconds diff": at,
        "restore_proven_timestamp_seconds": at - 3 * 3600,
        "restore_proven_backup_timestamp_seconds": at - 4 * 3600,
        "restore_proven_bars": 88,
        "restore_failed_timestamp_seconds different": at - 3600,
        "wal_waiting_files": 2,
        "wal_waiting_timestamp_seconds": at - 60,
        "wal_archived_timestamp_seconds": at - 120,
        "database_primary 10.0.0.1": 1,
        "standby_up 10.0.0.2": 1,
        "standby_up 10.0.0.3": 0,
        "standby_behind_bytes 10.0.0.2": 4096,
        "standby_behind_seconds 10.0.0.2": 0.5,
        "standby_slot_active standby_db2": 1,
        "standby_slot_active standby_db3": 0,
        "standby_slot_lost standby_db2": 0,
        "standby_slot_lost standby_db3": 1,
    }


def test_what_is_not_known_is_absent_and_not_zero() -> None:
    nothing = Facts(NOW, NOW, timedelta(minutes=1), unreachable={"PostgreSQL": "refused"})
    assert set(printed(nothing)) == {
        "level",
        "findings attention",
        "findings down",
        "asked_timestamp_seconds",
        "market_timestamp_seconds",
        "interval_seconds",
        "grace_seconds",
        "unreachable PostgreSQL",
    }
    no_batch = replace(FACTS, consumer=msgspec.structs.replace(FACTS.consumer, batch_ms=None, last_batch_at=None))
    assert printed(FACTS).keys() - printed(no_batch).keys() == {"batch_duration_seconds", "batch_timestamp_seconds"}
    free = replace(FACTS, host=replace(FACTS.host, clock_synchronised=None, clock_step_seconds=None))
    assert printed(FACTS).keys() - printed(free).keys() == {"clock_synchronised", "clock_step_seconds"}


def _leaves(kind: typing.Any, path: str = "") -> Iterator[str]:
    """Yield the fields of a class of facts, and those of what it holds."""
    if typing.get_origin(kind) is types.UnionType:
        (kind,) = [part for part in typing.get_args(kind) if part is not types.NoneType]
    inner = [part for part in (kind, *typing.get_args(kind)) if _is_record(part)]
    if not inner:
        yield path
    for part in inner:
        for name, hint in typing.get_type_hints(part).items():
            yield from _leaves(hint, f"{path}.{name}".lstrip("."))


def _is_record(kind: object) -> bool:
    return dataclasses.is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))


def test_every_field_of_the_status_has_a_metric() -> None:
    shown = {path for metric in metrics.METRICS for path in metric.shows}
    whole = set(_leaves(Facts))
    assert {"units.active", "host.file_systems.path", "quarantine"} <= whole
    assert whole - shown == NOT_SHOWN
    # A metric may be made of a whole, such as all the partitions.
    assert {path for path in shown - whole if not any(leaf.startswith(f"{path}.") for leaf in whole)} == set()


def test_names_labels_and_meanings_are_those_of_the_page() -> None:
    rows = [(*metrics.LEVEL, ()), (*metrics.FINDINGS, ("level",))]
    rows += [(metric.full_name, metric.meaning, metric.labels) for metric in metrics.METRICS]
    expected = [f"| `{name}` | {', '.join(labels)} | {meaning} |" for name, meaning, labels in rows]
    page = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    assert [line for line in page if line.startswith("| `market_pulse_")] == expected
    assert f"/run/market-pulse-alerts/{metrics.NAME}" in "\n".join(page)


def test_the_file_is_replaced_and_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / metrics.NAME
    path.write_text("old")
    metrics.write(path, assess(FACTS))
    assert path.read_bytes() == metrics.text(assess(FACTS))
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]
