"""One figure for Prometheus, and where in the facts it comes from."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily

from market_pulse.cli.facts import Facts

Sample = tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class Metric:
    """A gauge: seconds, bytes or counts, one sample for each set of its labels' values.

    `shows` names the fields of `Facts` that it is made of, such as ``units.restarts``.
    """

    name: str
    meaning: str
    labels: tuple[str, ...]
    shows: tuple[str, ...]
    samples: Callable[[Facts], Iterable[Sample]]

    @property
    def full_name(self) -> str:
        """Return the name as Prometheus has it."""
        return f"market_pulse_{self.name}"

    def family(self, facts: Facts) -> GaugeMetricFamily:
        """Return what the client library prints."""
        family = GaugeMetricFamily(self.full_name, self.meaning, labels=self.labels)
        for labels, value in self.samples(facts):
            family.add_metric(labels, float(value))
        return family


def one(value: float | datetime | None) -> Iterator[Sample]:
    """Yield the only sample of a metric without labels, or none where the figure is not known."""
    if value is not None:
        yield (), value.timestamp() if isinstance(value, datetime) else value
