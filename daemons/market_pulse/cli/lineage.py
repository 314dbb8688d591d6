"""Where one bar comes from, and how `market-pulse explain` says it: pure, facts in, lines out."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

_COLUMNS = 100


@dataclass(frozen=True)
class Values:
    """What a bar says: prices in the instrument's currency, volume in shares."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    is_final: bool


@dataclass(frozen=True)
class Answered:
    """The request that told a bar, as the database knows it."""

    cause: str
    function: str
    month: str | None
    asked_at: datetime
    fetched_at: datetime
    refusal: str | None
    sha256: str | None
    row_count: int
    told: int


@dataclass(frozen=True)
class Batch:
    """The transaction that stored a telling; counts are records."""

    run_id: str
    batch_id: int
    topic_id: str
    topic: str | None
    log_epoch: int
    from_offset: int
    until_offset: int
    received: int
    stored: int
    unchanged: int
    superseded: int
    quarantined: int
    answers: int
    stored_at: datetime


@dataclass(frozen=True)
class InArchive:
    """The archived body: its file, and the bar's row as the text that stands there; None where it holds none."""

    file: str
    row: dict[str, str] | None


@dataclass(frozen=True)
class Telling:
    """What one request said of the bar, and the way it took; what is not known is None.

    `replayed_by` is who let it be stored from quarantine.
    """

    values: Values
    source: str
    request_id: str
    fetched_at: datetime
    recorded_at: datetime
    partition: int | None
    record_offset: int | None
    answer: Answered | None
    batch: Batch | None
    replayed_by: str | None
    archive: InArchive | None


@dataclass(frozen=True)
class Rejected:
    """A record in quarantine that names the bar."""

    topic: str
    partition: int
    record_offset: int
    reason: str
    detail: str
    request_id: str | None
    recorded_at: datetime


@dataclass(frozen=True)
class Lineage:
    """One bar. `bar` and `told_by` are what stands in the table now; `absent_because` says why nothing does."""

    symbol: str
    interval: str
    bar_time: datetime
    reading: str
    zone: str
    bar: Values | None
    told_by: str | None
    tellings: tuple[Telling, ...]
    rejected: tuple[Rejected, ...]
    absent_because: tuple[str, ...]


def lines(lineage: Lineage) -> Iterator[str]:
    """Yield what a person reads: the bar, and each telling with its way, oldest first."""
    local = lineage.bar_time.astimezone(ZoneInfo(lineage.zone))
    yield (
        f"{lineage.symbol} {lineage.interval}: the bar that begins at {_time(lineage.bar_time)}, "
        f"{local:%Y-%m-%d %H:%M} in {lineage.zone}"
    )
    yield f"(read as {lineage.reading})"
    if lineage.bar is None:
        yield "no such bar is stored:"
        for reason in lineage.absent_because:
            yield from _folded(reason)
    else:
        yield f"stored   {_shown(lineage.bar)}"
        yield f"   by request {lineage.told_by}"
    for rejected in lineage.rejected:
        yield f"in quarantine: {rejected.reason}, {_time(rejected.recorded_at)}, request {rejected.request_id}"
        yield f"   record    {rejected.topic}, partition {rejected.partition}, offset {rejected.record_offset}"
        yield from _folded(rejected.detail)
    before: Values | None = None
    for number, telling in enumerate(lineage.tellings, 1):
        yield f"told {number}   {_change(before, telling.values)}"
        yield from (f"   {line}" for line in _way(telling))
        before = telling.values


def _way(telling: Telling) -> Iterator[str]:
    yield f"request   {telling.request_id}, from {telling.source}, fetched {_time(telling.fetched_at)}"
    answer, batch = telling.answer, telling.batch
    if answer is None:
        yield "answer    not stored"
    else:
        month = f" of {answer.month}" if answer.month else ""
        yield f"answer    {answer.function}{month} by {answer.cause}, asked {_time(answer.asked_at)}"
        yield f"          {answer.row_count} bars, of which {answer.told} were told"
        yield f"body      sha256 {answer.sha256}"
    if telling.archive is not None:
        yield f"archive   {telling.archive.file}"
        row = telling.archive.row
        yield f"          {_pairs(row) if row else 'the body holds no such bar'}"
    if telling.record_offset is not None:
        topic = f"{batch.topic or batch.topic_id}, " if batch else ""
        yield f"record    {topic}partition {telling.partition}, offset {telling.record_offset}"
    if batch is not None:
        yield f"batch     {batch.batch_id} of run {batch.run_id}"
        yield f"          offsets {batch.from_offset} to {batch.until_offset - 1}, with {batch.answers} answers"
        yield (
            f"          {batch.received} received = {batch.stored} stored + {batch.unchanged} unchanged "
            f"+ {batch.superseded} superseded + {batch.quarantined} quarantined"
        )
    if telling.replayed_by is not None:
        yield f"replayed  from quarantine, asked for by {telling.replayed_by}"
    committed = f", committed {_time(batch.stored_at)}" if batch else ""
    yield f"recorded  {_time(telling.recorded_at)}{committed}"


def _folded(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, _COLUMNS, initial_indent="   ", subsequent_indent="     ")


def _change(before: Values | None, after: Values) -> str:
    if before is None:
        return _shown(after)
    changed = [
        f"{field.name} {getattr(before, field.name)} -> {getattr(after, field.name)}"
        for field in fields(Values)
        if getattr(before, field.name) != getattr(after, field.name)
    ]
    return ", ".join(changed) or "the same values again"


def _shown(values: Values) -> str:
    told = {name: str(getattr(values, name)) for name in ("open", "high", "low", "close", "volume")}
    return f"{_pairs(told)}, {'final' if values.is_final else 'not final'}"


def _pairs(told: dict[str, str]) -> str:
    return " ".join(f"{name} {value}" for name, value in told.items())


def _time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}Z"
