"""What `market-pulse status` shows, as figures for Prometheus; docs/metrics.md says what each one means."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from market_pulse.cli.finding import Level
from market_pulse.cli.metrics import backups, parts, replication, stored
from market_pulse.cli.report import Report

NAME = "market_pulse.prom"
LEVEL = "market_pulse_level", "0: all is well; 1: something needs attention; 2: down. As the exit code of status."
FINDINGS = "market_pulse_findings", "How many things status finds wrong, by how wrong they are."
METRICS = (*parts.METRICS, *stored.METRICS, *backups.METRICS, *replication.METRICS)
_READABLE_BY_ALL = 0o644


class _Figures(Collector):
    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(*LEVEL, value=self._report.level)
        found = GaugeMetricFamily(*FINDINGS, labels=("level",))
        for level in (Level.ATTENTION, Level.DOWN):
            count = sum(finding.level is level for finding in self._report.findings)
            found.add_metric((level.name.lower(),), count)
        yield found
        for metric in METRICS:
            yield metric.family(self._report.facts)


def text(report: Report) -> bytes:
    """Return the report in Prometheus' text format."""
    # Of its own: the library's default one tells of the process that prints, which nobody asked for.
    registry = CollectorRegistry()
    registry.register(_Figures(report))
    return generate_latest(registry)


def write(path: Path, report: Report) -> None:
    """Replace the file at once: node_exporter sees the old figures or the new ones, never a part."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text(report))
    fresh.chmod(_READABLE_BY_ALL)
    fresh.replace(path)
