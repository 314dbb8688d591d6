"""Is a unit making progress, and what is it doing? Facts in, a verdict with a sentence out; nothing here looks.

A healthy unit may be idle or degraded: a closed market, a used-up quota and a broker that is away are no fault of the
unit that waits for them, and restarting it would mend nothing. Unhealthy is what a restart may mend.
Ages and waits are seconds of the caller's monotonic clock, instants are aware.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

# A bar's delivery is given up and sent anew by the Kafka client after two minutes.
CONFIRMATION_SECONDS = 180.0
# Longer than any batch of a working sink, its retries included.
BATCH_SECONDS = 120.0
# What an answer may take from the vendor to the database, restarts on its way included.
GRACE_SECONDS = 30.0

_SECONDS_ARE_TOLD_BELOW = 120
_MINUTES_ARE_TOLD_BELOW = 2 * 3600
_WEEK_DAYS = 7
# A master in any other state knows no worker, or is still asking each.
_LEADING = "ALIVE"
# The names that traders use; elsewhere the zone's own abbreviation serves.
_ZONE_NAMES = {"America/New_York": "ET", "America/Chicago": "CT"}


class Verdict(NamedTuple):
    """Whether the unit makes progress, and the sentence that ``systemctl status`` shows."""

    healthy: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class ProducerFacts:
    """What the producer knows about itself after one round of its loop.

    `unconfirmed_seconds` counts from the last acknowledgement while bars wait in the outbox, and is 0 while none do.
    `broker_away_seconds` and `vendor_trouble` are None while broker and vendor answer as they should; `broker_refusal`
    says what a broker that does answer has refused.
    While `outbox_full`, nothing is polled.
    `calls_left` is None for a source without a daily budget; `calls_reset_at` is when a used-up one is new again.
    """

    exchange: str
    zone: ZoneInfo
    now: datetime
    symbols: int
    waiting: int
    outbox_full: bool
    unconfirmed_seconds: float
    broker_away_seconds: float | None
    broker_refusal: str | None = None
    vendor_trouble: str | None
    opens_at: datetime | None
    calls_left: int | None
    calls_reset_at: datetime | None
    next_poll_at: datetime | None


class ConsumerProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What the Spark driver writes to its progress file at every batch, and every few seconds between batches.

    `batch_ms` is how long the newest committed batch took, planning and commit included; None before the first.
    """

    at: datetime
    state: str
    batch_id: int
    batch_rows: int
    rows_total: int
    last_batch_at: datetime | None
    behind: int
    batch_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class ConsumerFacts:
    """The driver's latest report, how long ago it changed, and how long its batch id has stood still."""

    progress: ConsumerProgress | None
    unchanged_seconds: float
    changed: bool
    batch_seconds: float


@dataclass(frozen=True, kw_only=True)
class BrokerFacts:
    """One broker's view of its quorum, and how long a record took through its log and back."""

    node_id: int
    leader_id: int
    voters: int
    round_trip_seconds: float


class MasterPage(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the Spark master's JSON page that is looked at."""

    status: str
    workers: list["MasterPageWorker"]
    activeapps: list[dict[str, Any]]

    @property
    def leads(self) -> bool:
        """Return whether it takes workers and drivers, and is not a standby or still coming back."""
        return self.status == _LEADING


class MasterPageWorker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as the Spark master sees it."""

    id: str
    state: str


class WorkerPage(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Spark worker's JSON page that is looked at."""

    id: str
    masterurl: str
    cores: int
    coresused: int
    executors: list[dict[str, Any]]


class Silence(enum.Enum):
    """Why there is no word from a worker's master."""

    NO_ANSWER = enum.auto()
    NOT_ASKED = enum.auto()


class State(enum.StrEnum):
    """What the producer is doing, in one word."""

    POLLING = "polling"
    IDLE = "idle"
    DEGRADED = "degraded"
    STUCK = "stuck"


def producer_state(facts: ProducerFacts) -> State:
    """Name what the producer is doing: bars that wait although the broker answers are what a restart may mend."""
    if facts.unconfirmed_seconds > CONFIRMATION_SECONDS and facts.broker_away_seconds is None:
        return State.STUCK
    if facts.broker_away_seconds is not None or facts.outbox_full:
        return State.DEGRADED
    # Without calls nobody asks the vendor, so whatever it said last is no trouble until there are new ones.
    if facts.calls_left == 0:
        return State.IDLE
    if facts.vendor_trouble is not None:
        return State.DEGRADED
    return State.IDLE if facts.opens_at is not None else State.POLLING


def producer(facts: ProducerFacts) -> Verdict:
    """Judge the producer, and say what it waits for."""
    state = producer_state(facts)
    backlog = f"{_count(facts.waiting, 'bar')} in the outbox"
    if facts.outbox_full:
        backlog += ", which is full: polling stopped"
    if state is State.STUCK:
        return _ill(
            f"{state}: {backlog}, none confirmed for {_span(facts.unconfirmed_seconds)} though the broker answers"
        )
    if facts.broker_away_seconds is not None:
        since = _span(facts.broker_away_seconds)
        silent = f"{state}: no answer from the broker for {since}, {backlog}"
        refused = f"{state} for {since}, {backlog}: {facts.broker_refusal}"
        return _well(silent if facts.broker_refusal is None else refused)
    if facts.outbox_full:
        return _well(f"{state}: {backlog}")
    return _well(_polling(state, facts) + (f", {backlog}" if facts.waiting else ""))


def _polling(state: State, facts: ProducerFacts) -> str:
    """Return the sentence about the vendor and its market, and about the calls that are left for it."""
    if facts.calls_left == 0:
        return f"{state}: no calls left until {_instant(facts.calls_reset_at, facts)}"
    left = "" if facts.calls_left is None else f", {_count(facts.calls_left, 'call')} left today"
    if state is State.DEGRADED:
        return f"{state}: {facts.vendor_trouble}{left}"
    if state is State.IDLE:
        return f"{state}: {facts.exchange} closed until {_instant(facts.opens_at, facts)}{left}"
    return f"{state} {_count(facts.symbols, 'symbol')}, next {_instant(facts.next_poll_at, facts)}{left}"


def consumer(facts: ConsumerFacts) -> Verdict:
    """Judge the consumer by the driver's report: it has to change, and so has the batch while records wait."""
    report = facts.progress
    if report is None:
        return _ill("no report from the Spark driver yet")
    if report.behind and facts.batch_seconds > BATCH_SECONDS:
        return _ill(
            f"stuck: {_count(report.behind, 'record')} to store, batch {report.batch_id} the last for "
            f"{_span(facts.batch_seconds)}",
        )
    if not facts.changed:
        return _ill(f"stuck: no news from the Spark driver for {_span(facts.unchanged_seconds)}")
    stored = f"{_count(report.rows_total, 'record')} stored since the start"
    if report.behind:
        return _well(f"storing: {report.behind} to go, {stored}, batch {report.batch_id}")
    return _well(f"{report.state}: nothing waits, {stored}, batch {report.batch_id}")


def broker(facts: BrokerFacts) -> Verdict:
    """Judge a broker whose round trip succeeded: no restart of one node brings back others that its quorum lacks."""
    if facts.leader_id < 0:
        if facts.voters > 1:
            return _well(f"degraded: node {facts.node_id} sees no leader among {facts.voters} voters")
        return _ill(f"node {facts.node_id} is the only voter and does not lead")
    role = "leads" if facts.leader_id == facts.node_id else f"follows node {facts.leader_id} in"
    return _well(
        f"serving: node {facts.node_id} {role} a quorum of {facts.voters}, "
        f"a record there and back in {facts.round_trip_seconds * 1000:.0f} ms",
    )


def spark_master(page: MasterPage) -> Verdict:
    """Judge the Spark master: alive, or standing by for one that is."""
    workers = sum(worker.state == "ALIVE" for worker in page.workers)
    sentence = f"{page.status.lower()}: {_count(workers, 'worker')}, {_count(len(page.activeapps), 'application')}"
    return Verdict(page.leads or page.status == "STANDBY", sentence)


def spark_worker(page: WorkerPage, master: MasterPage | Silence) -> Verdict:
    """Judge a Spark worker: registered, and so its master says, if that can be asked and leads."""
    work = f"{_count(len(page.executors), 'executor')}, {page.coresused} of {page.cores} cores in use"
    if not page.masterurl:
        return _ill("not registered with a master yet")
    if master is Silence.NO_ANSWER:
        return _well(f"degraded: no answer from the master's page; {work}")
    if isinstance(master, MasterPage) and not master.leads:
        return _well(f"degraded: the master is {master.status.lower()}; {work}")
    if isinstance(master, MasterPage) and not any(
        worker.id == page.id and worker.state == "ALIVE" for worker in master.workers
    ):
        return _ill(f"{page.masterurl} does not count it among its workers")
    return _well(f"registered with {page.masterurl}: {work}")


def _well(sentence: str) -> Verdict:
    return Verdict(healthy=True, sentence=sentence)


def _ill(sentence: str) -> Verdict:
    return Verdict(healthy=False, sentence=sentence)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _span(seconds: float) -> str:
    if seconds < _SECONDS_ARE_TOLD_BELOW:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < _MINUTES_ARE_TOLD_BELOW else f"{seconds / 3600:.0f} h"


def _instant(moment: datetime | None, facts: ProducerFacts) -> str:
    """Return ``09:30 ET`` today, ``Mon 09:30 ET`` within the week, ``2027-01-04 09:30 ET`` beyond."""
    if moment is None:
        return "further notice"
    there, today = moment.astimezone(facts.zone), facts.now.astimezone(facts.zone).date()
    days = (there.date() - today).days
    form = "%H:%M" if days == 0 else "%a %H:%M" if 0 < days < _WEEK_DAYS else "%Y-%m-%d %H:%M"
    return f"{there.strftime(form)} {_ZONE_NAMES.get(facts.zone.key) or there.tzname()}"
