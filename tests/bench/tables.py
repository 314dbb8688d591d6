"""Comparisons as they are kept: rows of a table in Markdown, which is read again by the next run; pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, field, fields
from typing import Any, ClassVar, Protocol, TypeVar

# By how much of the committed ratio a new one may be worse.
TOLERANCE = 0.2


class Kept(Protocol):
    """A dataclass, all of whose fields are a `column`, in their order; the ratio is above 1 where ours is better.

    The first two are what no other row has: what was carried, and by whom else.
    """

    __dataclass_fields__: ClassVar[Mapping[str, Field[Any]]]
    ratio: float
    day: str


K = TypeVar("K", bound=Kept)


def column(title: str, form: str = "") -> Any:
    """Return a field of a row: the column's title, and how a number is told."""
    return field(metadata={"title": title, "form": form})


def table(kind: type[K], rows: Iterable[K]) -> str:
    """Return rows as Markdown."""
    told = [[format(getattr(row, each.name), each.metadata["form"]) for each in fields(kind)] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [*_header(kind), *told])


def read_table(kind: type[K], text: str) -> list[K]:
    """Return the rows of such a table, wherever in a text it stands; none if there is none."""
    lines = iter(text.splitlines())
    title = f"| {' | '.join(next(_header(kind)))} |"
    for line in lines:
        if line == title:
            next(lines)
            return list(_rows(kind, lines))
    return []


def merged(old: Iterable[K], new: Iterable[K]) -> list[K]:
    """Return the old rows with the new ones in their places, and behind them those that are of another comparison."""
    return [*({_key(row): row for row in old} | {_key(row): row for row in new}).values()]


def regressions(committed: Iterable[K], measured: Iterable[K]) -> list[str]:
    """Say which ratios are worse than the committed ones by more than is tolerated."""
    before = {_key(row): row for row in committed}
    return [
        f"{' against '.join(_key(row))}: {row.ratio:.2f}, after {known.ratio:.2f} on {known.day}"
        for row in measured
        if (known := before.get(_key(row))) and row.ratio < (1 - TOLERANCE) * known.ratio
    ]


def _key(row: Kept) -> tuple[str, ...]:
    return tuple(getattr(row, each.name) for each in fields(row)[:2])


def _header(kind: type[Kept]) -> Iterator[list[str]]:
    yield [each.metadata["title"] for each in fields(kind)]
    yield ["---" if each.type is str else "---:" for each in fields(kind)]


def _rows(kind: type[K], lines: Iterator[str]) -> Iterator[K]:
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        yield kind(*(_value(each.type, cell) for each, cell in zip(fields(kind), cells, strict=True)))


def _value(kind: Any, cell: str) -> object:
    return cell if kind is str else kind(cell.replace(",", ""))
