"""What `market-pulse status` knows: of this host, of the database and of the topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from market_pulse.cli.backups import Backups
from market_pulse.cli.host import Host
from market_pulse.cli.replication import Replication
from market_pulse.contract import Interval
from market_pulse.health import ConsumerProgress


@dataclass(frozen=True)
class Unit:
    """One systemd unit of this host, as the service manager tells it; a job runs to its end when its timer says so."""

    name: str
    active: str
    sub: str
    result: str
    restarts: int
    sentence: str
    is_job: bool = False


@dataclass(frozen=True)
class Series:
    """The newest stored bar of one symbol and interval, and how far behind market time it is."""

    symbol: str
    interval: str
    bar_time: datetime
    fetched_at: datetime
    age: timedelta


@dataclass(frozen=True)
class Completeness:
    """What became of the bars that a series should have of its newest session; counts are bars."""

    symbol: str
    interval: str
    trading_date: date
    expected: int
    stored: int
    no_trade: int
    halt: int
    halt_inferred: int
    quota: int
    outage: int
    vendor_missing: int
    pending: int
    quarantined: int
    missing: int

    @property
    def due(self) -> int:
        """Bars that should be here by now."""
        return self.expected - self.pending

    @property
    def otherwise_explained(self) -> int:
        """Bars that are due, not stored, and absent for another reason than that nobody traded."""
        return self.halt + self.halt_inferred + self.quota + self.outage + self.vendor_missing + self.quarantined


@dataclass(frozen=True)
class AuditFinding:
    """What the auditor has found and what is not over."""

    kind: str
    subject: str
    sentence: str
    found_at: datetime


@dataclass(frozen=True)
class Run:
    """A job's last success."""

    finished_at: datetime
    sentence: str


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
    """What became of every record that the sink has received in the last 24 hours."""

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
    """Everything that was asked; a part that could not be asked is absent and named in `unreachable`.

    `grace` is how much market time passes while a healthy pipeline carries a bar from the vendor to the database.
    """

    at: datetime
    market_time: datetime
    interval: timedelta
    grace: timedelta = timedelta(0)
    units: tuple[Unit, ...] | None = ()
    series: tuple[Series, ...] = ()
    bars: int | None = None
    bars_are_estimated: bool = False
    # Whose rows are in the default partitions, for they have none of their own.
    months_in_default: tuple[date, ...] = ()
    ledger: Ledger | None = None
    quarantine: Mapping[str, int] = field(default_factory=dict)
    completeness: tuple[Completeness, ...] = ()
    audit: tuple[AuditFinding, ...] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    partitions: tuple[Partition, ...] = ()
    losses: tuple[str, ...] = ()
    producer: Mapping[str, object] | None = None
    consumer: ConsumerProgress | None = None
    host: Host | None = None
    backups: Backups | None = None
    # None where the database has one host alone.
    replication: Replication | None = None
    unreachable: Mapping[str, str] = field(default_factory=dict)

    @property
    def records_behind(self) -> int:
        """Records on the topic that are not stored yet."""
        return sum(max(partition.lag, 0) for partition in self.partitions)

    @property
    def lags(self) -> Mapping[str, timedelta]:
        """By symbol: how far its newest stored bar is behind the newest polled one; known on the producer's host alone.

        While nothing is under way, nothing is behind: the newest may have ended in quarantine.
        """
        if self.producer is None:
            return {}
        polled = msgspec.convert(self.producer.get("last_bars", {}), dict[str, datetime])
        if not (self.records_behind or self.producer.get("outbox")):
            return dict.fromkeys(polled, timedelta(0))
        stored = {
            series.symbol: series.bar_time
            for series in self.series
            if Interval(series.interval).length == self.interval
        }
        return {
            symbol: max(newest - stored[symbol], timedelta(0)) for symbol, newest in polled.items() if symbol in stored
        }
