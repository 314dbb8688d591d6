"""What `market-pulse verify` makes of the answers that it got: pure, answers in, one outcome per check out."""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from market_pulse.cli.checks import Check
from market_pulse.topic import Topic

# How many problems are named; the others are counted.
EXAMPLES = 10


class Verdict(enum.StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_ASKED = "NOT ASKED"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Outcome:
    """One check's verdict with its figures; `examples` are its first problems, in order."""

    check: str
    verdict: Verdict
    sentence: str
    examined: int = 0
    broken: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Position:
    """Up to where a partition is stored; `held` says what its log lost, until somebody accepts it."""

    next_offset: int
    held: str | None = None


@dataclass(frozen=True)
class Kept:
    """One request as the database or the archive has it; `sha256` is None where there was no body."""

    request_id: str
    symbol: str
    interval: str
    fetched_at: datetime
    sha256: str | None


def level(outcomes: Iterable[Outcome]) -> int:
    """Return the exit code: 0 all holds, 1 something does not, 2 something could not be asked."""
    verdicts = {outcome.verdict for outcome in outcomes}
    return 1 if Verdict.FAILED in verdicts else 2 if Verdict.NOT_ASKED in verdicts else 0


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield what a person reads: the verdict with its figures, and what is wrong, one line each."""
    yield f"{outcome.verdict:<11}{outcome.check:<12}{outcome.sentence}"
    yield from (f"{'':<23}{example}" for example in outcome.examples)
    if outcome.broken > len(outcome.examples) > 0:
        yield f"{'':<23}and {outcome.broken - len(outcome.examples)} more"


def judge(check: Check, counted: Sequence[tuple[str | None, int, int]], figures: str = "") -> Outcome:
    """Return the outcome of a check of the database.

    Args:
        check: what was asked.
        counted: per problem, None first, its name, how often it was found, and how many things were looked at in all.
        figures: one sentence more.
    """
    examined = counted[0][2] if counted else 0
    good = sum(times for problem, times, _ in counted if problem is None)
    examples = tuple(problem for problem, _, _ in counted if problem is not None)
    return _outcome(check.name, check.noun, check.rule, examined, examined - good, examples, figures)


def judge_topic(before: Topic, after: Topic, positions: Mapping[int, Position]) -> Outcome:
    """Return whether the stored positions lie within the topic's log.

    Args:
        before: the topic as it was before the positions were read: what it held no longer and is not stored is lost.
        after: as it was later: a running consumer cannot have stored more than it held then.
        positions: of this topic, by partition.
    """
    name = "topic"
    if before.id != after.id:
        return Outcome(name, Verdict.NOT_ASKED, f"{after.name} was made anew while it was looked at")
    problems = []
    lag = 0
    for partition in sorted(positions.keys() | after.end.keys()):
        where = f"{after.name} partition {partition}"
        if partition not in after.end:
            problems.append(f"{where} has a position and is not in the topic")
            continue
        begin, end = before.beginning[partition], after.end[partition]
        position = positions.get(partition, Position(begin))
        lag += max(0, end - position.next_offset)
        if position.held is not None:
            problems.append(f"{where} is held: {position.held}")
        elif position.next_offset > end:
            problems.append(f"{where} ends at offset {end}, and offsets up to {position.next_offset - 1} are stored")
        elif position.next_offset < begin:
            problems.append(
                f"{where} begins at offset {begin}, and offsets {position.next_offset} to {begin - 1} are not stored"
            )
    rule = "the stored position lies within the log"
    figures = f"lag {lag}: {sum(after.end.values())} offsets given out, of which {lag} are not stored yet"
    return _outcome(name, "partitions", rule, len(after.end), len(problems), tuple(problems[:EXAMPLES]), figures)


def judge_archive(
    stored: Mapping[str, Kept],
    archived: Iterable[Kept],
    newest: Mapping[tuple[str, str], datetime],
    kept_since: datetime | None,
) -> Outcome:
    """Return whether the answers in the database and those in the raw archive are the same.

    Args:
        stored: the database's, by request id.
        archived: the archive's, of the same span of time.
        newest: when the newest answer in the database was fetched, by symbol and interval: what the archive has later
            is on its way.
        kept_since: what was fetched before is not kept any more; None for an archive without an entry.
    """
    rule = "each is stored and archived, with one hash"
    due = {
        request_id: answer
        for request_id, answer in stored.items()
        if answer.sha256 and (kept_since is None or answer.fetched_at >= kept_since)
    }
    problems = []
    found = set()
    for entry in archived:
        found.add(entry.request_id)
        answer = stored.get(entry.request_id)
        if answer is not None and answer.sha256 != entry.sha256:
            problems.append(f"{_request(entry)}: the archive has {entry.sha256}, the database {answer.sha256}")
        elif answer is None and entry.fetched_at < newest.get((entry.symbol, entry.interval), entry.fetched_at):
            problems.append(f"{_request(entry)} is archived, and its answer is not stored")
    problems += [f"{_request(due[request_id])} is stored and not archived" for request_id in sorted(due.keys() - found)]
    figures = f"the archive goes back to {kept_since:%Y-%m-%dT%H:%MZ}" if kept_since else "the archive is empty"
    examined = len(due.keys() | found)
    return _outcome("archive", "answers", rule, examined, len(problems), tuple(problems[:EXAMPLES]), figures)


def _request(kept: Kept) -> str:
    return f"request {kept.request_id} for {kept.symbol} {kept.interval} fetched {kept.fetched_at:%Y-%m-%dT%H:%M:%SZ}"


def _outcome(  # noqa: PLR0913, PLR0917 - a sentence's parts
    name: str, noun: str, rule: str, examined: int, broken: int, examples: tuple[str, ...], figures: str
) -> Outcome:
    tail = f"; {figures}" if figures else ""
    if broken:
        sentence = f"{broken} of {examined} {noun} break the rule: {rule}{tail}"
        return Outcome(name, Verdict.FAILED, sentence, examined, broken, examples)
    return Outcome(name, Verdict.OK, f"{examined} {noun}: {rule}{tail}", examined)
