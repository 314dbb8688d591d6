"""What `market-pulse status` makes of the facts: pure, facts in, findings and an exit level out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from market_pulse.cli import backups, host, replication
from market_pulse.cli.facts import Facts, Unit
from market_pulse.cli.finding import Finding, Level

_MOST_LAG = 10_000
_MOST_INTERVALS = 2
_MOST_FINDINGS_OF_THE_AUDIT = 10
# By job: what does it, and for how long its last success counts.
_JOBS = {
    "audit": ("market-pulse-auditor", timedelta(minutes=2)),
    "deep audit": ("market-pulse-auditor's round over all sessions", timedelta(hours=1)),
    "upkeep": ("market-pulse-upkeep", timedelta(days=2)),
}


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
        yield Finding(Level.DOWN, f"{part} cannot be asked: {problem}", part, of_host=True)
    if facts.units == ():
        yield Finding(Level.DOWN, "no unit of market-pulse is installed on this host", "units", of_host=True)
    for unit in facts.units or ():
        yield from unit_findings(unit)
    if facts.host is not None:
        yield from host.findings(facts.host, facts.at)
    yield from _stored_findings(facts)
    if facts.backups is not None:
        at_work = {unit.name for unit in facts.units or () if unit.is_job and unit.active == "activating"}
        yield from backups.findings(facts.backups, facts.at, at_work)
    if facts.replication is not None:
        yield from replication.findings(facts.replication)
    yield from _offset_findings(facts)
    if facts.bars is not None:
        yield from _audit_findings(facts)


def _stored_findings(facts: Facts) -> Iterator[Finding]:
    if facts.ledger and not facts.ledger.adds_up:
        yield Finding(Level.DOWN, f"the ledger does not add up: {facts.ledger}", "ledger")
    if facts.bars == 0:
        yield Finding(Level.ATTENTION, "no bar is stored yet", "bars")
    if facts.quarantine:
        reasons = ", ".join(f"{count} {reason}" for reason, count in facts.quarantine.items())
        yield Finding(Level.ATTENTION, f"in quarantine: {reasons}", "quarantine")
    for loss in facts.losses:
        yield Finding(Level.ATTENTION, f"lost: {loss}", f"lost:{loss}")
    if facts.months_in_default:
        first, others = facts.months_in_default[0], len(facts.months_in_default) - 1
        more = f" and of {others} more months" if others else ""
        yield Finding(
            Level.ATTENTION,
            f"bars of {first:%Y-%m}{more} are in the default partition: systemctl start market-pulse-upkeep",
            "default partition",
        )


def unit_findings(unit: Unit) -> Iterator[Finding]:
    """Say whether a unit is not as it should be."""
    if unit.is_job and unit.result == "success":
        return
    if unit.active in {"failed", "inactive"}:
        yield Finding(Level.DOWN, f"{unit.name} is {unit.active} ({unit.result})", unit.name, of_host=True)
    elif (unit.active, unit.sub) != ("active", "running"):
        yield Finding(Level.ATTENTION, f"{unit.name} is {unit.active} ({unit.sub})", unit.name, of_host=True)


def _offset_findings(facts: Facts) -> Iterator[Finding]:
    if facts.records_behind > _MOST_LAG:
        yield Finding(Level.ATTENTION, f"{facts.records_behind} records on the topic are not stored yet", "lag")
    late = {
        symbol: lag for symbol, lag in facts.lags.items() if lag > max(_MOST_INTERVALS * facts.interval, facts.grace)
    }
    if late:
        symbol = max(late, key=lambda symbol: late[symbol])
        more = f", and {len(late) - 1} more symbols are late" if len(late) > 1 else ""
        yield Finding(
            Level.ATTENTION,
            f"{symbol} is stored {str(late[symbol]).split('.')[0]} of market time behind what was polled{more}",
            "lag in time",
            of_host=True,
        )
    for partition in facts.partitions:
        if partition.held is not None:
            yield Finding(
                Level.DOWN,
                f"nothing is stored until it is accepted: {partition.held}",
                f"partition {partition.partition} held",
            )
        elif partition.lag < 0:
            yield Finding(
                Level.DOWN,
                f"partition {partition.partition} ends at offset {partition.end_offset}, "
                f"but {partition.next_offset} is stored as the next: the topic has lost its tail",
                f"partition {partition.partition} tail",
            )


def _audit_findings(facts: Facts) -> Iterator[Finding]:
    for job, (who, fresh) in _JOBS.items():
        run = facts.runs.get(job)
        if run is None:
            yield Finding(Level.ATTENTION, f"{who} has never come to its end", job)
        elif facts.at - run.finished_at > fresh:
            since = f"{run.finished_at:%Y-%m-%d %H:%M} UTC"
            yield Finding(Level.ATTENTION, f"{who} has not come to its end since {since}", job)
    for finding in facts.audit[:_MOST_FINDINGS_OF_THE_AUDIT]:
        yield Finding(Level.ATTENTION, f"{finding.kind}: {finding.sentence}", f"{finding.kind} {finding.subject}")
    if len(facts.audit) > _MOST_FINDINGS_OF_THE_AUDIT:
        more = len(facts.audit) - _MOST_FINDINGS_OF_THE_AUDIT
        yield Finding(Level.ATTENTION, f"and {more} more findings: see market.finding", "more findings")
