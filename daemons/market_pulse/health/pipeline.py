"""The producer and the consumer: do bars move on, and if not, is it theirs to move them?"""

import enum
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from market_pulse.health.verdict import Verdict, count, ill, span, well

# A bar's delivery is given up and sent anew by the Kafka client after two minutes.
CONFIRMATION_SECONDS = 180.0
# Longer than any batch of a working sink, its retries included.
BATCH_SECONDS = 120.0
# What an answer may take from the vendor to the database, restarts on its way included.
GRACE_SECONDS = 30.0
_WEEK_DAYS = 7
# The names that traders use; elsewhere the zone's own abbreviation serves.
_ZONE_NAMES = {"America/New_York": "ET", "America/Chicago": "CT"}


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
    backlog = f"{count(facts.waiting, 'bar')} in the outbox"
    if facts.outbox_full:
        backlog += ", which is full: polling stopped"
    if state is State.STUCK:
        return ill(
            f"{state}: {backlog}, none confirmed for {span(facts.unconfirmed_seconds)} though the broker answers"
        )
    if facts.broker_away_seconds is not None:
        since = span(facts.broker_away_seconds)
        silent = f"{state}: no answer from the broker for {since}, {backlog}"
        refused = f"{state} for {since}, {backlog}: {facts.broker_refusal}"
        return well(silent if facts.broker_refusal is None else refused)
    if facts.outbox_full:
        return well(f"{state}: {backlog}")
    return well(_polling(state, facts) + (f", {backlog}" if facts.waiting else ""))


def _polling(state: State, facts: ProducerFacts) -> str:
    """Return the sentence about the vendor and its market, and about the calls that are left for it."""
    if facts.calls_left == 0:
        return f"{state}: no calls left until {_instant(facts.calls_reset_at, facts)}"
    left = "" if facts.calls_left is None else f", {count(facts.calls_left, 'call')} left today"
    if state is State.DEGRADED:
        return f"{state}: {facts.vendor_trouble}{left}"
    if state is State.IDLE:
        return f"{state}: {facts.exchange} closed until {_instant(facts.opens_at, facts)}{left}"
    return f"{state} {count(facts.symbols, 'symbol')}, next {_instant(facts.next_poll_at, facts)}{left}"


def consumer(facts: ConsumerFacts) -> Verdict:
    """Judge the consumer by the driver's report: it has to change, and so has the batch while records wait."""
    report = facts.progress
    if report is None:
        return ill("no report from the Spark driver yet")
    if report.behind and facts.batch_seconds > BATCH_SECONDS:
        return ill(
            f"stuck: {count(report.behind, 'record')} to store, batch {report.batch_id} the last for "
            f"{span(facts.batch_seconds)}",
        )
    if not facts.changed:
        return ill(f"stuck: no news from the Spark driver for {span(facts.unchanged_seconds)}")
    stored = f"{count(report.rows_total, 'record')} stored since the start"
    if report.behind:
        return well(f"storing: {report.behind} to go, {stored}, batch {report.batch_id}")
    return well(f"{report.state}: nothing waits, {stored}, batch {report.batch_id}")


def _instant(moment: datetime | None, facts: ProducerFacts) -> str:
    """Return ``09:30 ET`` today, ``Mon 09:30 ET`` within the week, ``2027-01-04 09:30 ET`` beyond."""
    if moment is None:
        return "further notice"
    there, today = moment.astimezone(facts.zone), facts.now.astimezone(facts.zone).date()
    days = (there.date() - today).days
    form = "%H:%M" if days == 0 else "%a %H:%M" if 0 < days < _WEEK_DAYS else "%Y-%m-%d %H:%M"
    return f"{there.strftime(form)} {_ZONE_NAMES.get(facts.zone.key) or there.tzname()}"
