"""What `market-pulse status` makes of the facts: pure, facts in, findings and an exit level out."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_STALE_INTERVALS = 5
_MOST_LAG = 10_000


class Level(enum.IntEnum):
    """How well the pipeline is; the value is the exit code."""

    WELL = 0
    ATTENTION = 1
    DOWN = 2


@dataclass(frozen=True)
class Unit:
    """One systemd unit of this host, as the service manager tells it."""

    name: str
    active: str
    sub: str
    result: str
    restarts: int
    sentence: str


@dataclass(frozen=True)
class Series:
    """The newest stored bar of one symbol and interval, and how far behind market time it is."""

    symbol: str
    interval: str
    bar_time: datetime
    fetched_at: datetime
    age: timedelta


@dataclass(frozen=True)
class Partition:
    """One partition of the topic: the offset after its last record, the one after the last stored, and what it lost.

    `held` is None but for a loss that nobody has accepted yet.
    """

    partition: int
    end_offset: int
    next_offset: int
    held: str | None = None

    @property
    def lag(self) -> int:
        """Records that are on the topic and not yet in the database."""
        return self.end_offset - self.next_offset


@dataclass(frozen=True)
class Ledger:
    """What became of every record that the sink has received, since the first."""

    received: int
    stored: int
    unchanged: int
    superseded: int
    quarantined: int

    @property
    def adds_up(self) -> bool:
        """Whether every record received is accounted for."""
        return self.received == self.stored + self.unchanged + self.superseded + self.quarantined


@dataclass(frozen=True)
class Facts:
    """Everything that was asked; a part that could not be asked is absent and named in `unreachable`."""

    at: datetime
    market_time: datetime
    interval: timedelta
    units: tuple[Unit, ...] = ()
    series: tuple[Series, ...] = ()
    bars: int | None = None
    ledger: Ledger | None = None
    quarantine: Mapping[str, int] = field(default_factory=dict)
    partitions: tuple[Partition, ...] = ()
    producer: Mapping[str, object] | None = None
    unreachable: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Report:
    """The facts and what is wrong with them; `level` is the worst finding's."""

    facts: Facts
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The exit code."""
        return max((finding.level for finding in self.findings), default=Level.WELL)


def assess(facts: Facts) -> Report:
    """Judge the facts."""
    return Report(facts, tuple(_findings(facts)))


def _findings(facts: Facts) -> Iterator[Finding]:
    for part, problem in facts.unreachable.items():
        yield Finding(Level.DOWN, f"{part} cannot be asked: {problem}")
    if not facts.units:
        yield Finding(Level.DOWN, "no unit of market-pulse is installed on this host")
    for unit in facts.units:
        if unit.active in {"failed", "inactive"}:
            yield Finding(Level.DOWN, f"{unit.name} is {unit.active} ({unit.result})")
        elif (unit.active, unit.sub) != ("active", "running"):
            yield Finding(Level.ATTENTION, f"{unit.name} is {unit.active} ({unit.sub})")
    if facts.ledger and not facts.ledger.adds_up:
        yield Finding(Level.DOWN, f"the ledger does not add up: {facts.ledger}")
    if facts.bars == 0:
        yield Finding(Level.ATTENTION, "no bar is stored yet")
    if facts.quarantine:
        reasons = ", ".join(f"{count} {reason}" for reason, count in facts.quarantine.items())
        yield Finding(Level.ATTENTION, f"in quarantine: {reasons}")
    yield from _offset_findings(facts)
    yield from _freshness_findings(facts)


def _offset_findings(facts: Facts) -> Iterator[Finding]:
    behind = sum(max(partition.lag, 0) for partition in facts.partitions)
    if behind > _MOST_LAG:
        yield Finding(Level.ATTENTION, f"{behind} records on the topic are not stored yet")
    for partition in facts.partitions:
        if partition.held is not None:
            yield Finding(Level.DOWN, f"nothing is stored until it is accepted: {partition.held}")
        elif partition.lag < 0:
            yield Finding(
                Level.DOWN,
                f"partition {partition.partition} ends at offset {partition.end_offset}, "
                f"but {partition.next_offset} is stored as the next: the topic has lost its tail",
            )


def _freshness_findings(facts: Facts) -> Iterator[Finding]:
    if not facts.producer or facts.producer.get("state") != "polling":
        return
    limit = facts.interval * _STALE_INTERVALS
    for series in facts.series:
        if series.age > limit:
            yield Finding(
                Level.ATTENTION, f"{series.symbol} {series.interval} is {series.age} old while the market is open"
            )
