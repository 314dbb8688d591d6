"""What is to be fetched beside the live polls, in pieces that one request answers; on disk with everything else.

A piece is a repair, of a gap that nobody ordered, or a backfill, which an operator did. It stays open until an answer
has settled it, or until it is given up with a reason.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from market_pulse.contract import Cause, Interval
from market_pulse.producer.span import Part
from market_pulse.producer.store import Store

_COLUMNS = (
    "id, symbol, interval, month, starts_at, ends_at, cause, state, reason, opened_at, asked_since, not_before,"
    " chances, again, attempts, denied, told, request_id"
)
_SELECT = f"SELECT {_COLUMNS} FROM backlog"  # noqa: S608 - from the constant above


class State(enum.StrEnum):
    """How far a piece is; the value is stored."""

    OPEN = "open"
    DONE = "done"
    GIVEN_UP = "given up"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A part that is wanted, and on which terms. Instants are market time.

    An answer counts if it was asked for at `asked_since` or later, and is asked for no earlier than `not_before`.
    With `chances` left, an answer that lacks what the vendor ought to have of the part does not settle it.
    `again` tells its bars whatever was told of them before.
    """

    part: Part
    cause: Cause
    opened_at: datetime
    asked_since: datetime
    not_before: datetime
    chances: int = 0
    again: bool = False

    @classmethod
    def at_once(cls, part: Part, cause: Cause, now: datetime) -> "Wanted":
        """Want a part now, from any answer that was asked for after the part's end."""
        return cls(part=part, cause=cause, opened_at=now, asked_since=min(part.ends_at, now), not_before=now)

    def with_(self, other: "Wanted") -> "Wanted":
        """Return both, which are of one cause, as one."""
        starts_at = min(self.part.starts_at, other.part.starts_at)
        ends_at = max(self.part.ends_at, other.part.ends_at)
        return Wanted(
            part=replace(self.part, starts_at=starts_at, ends_at=ends_at),
            cause=self.cause,
            opened_at=min(self.opened_at, other.opened_at),
            asked_since=max(self.asked_since, other.asked_since),
            not_before=min(self.not_before, other.not_before),
            chances=max(self.chances, other.chances),
            again=self.again or other.again,
        )


@dataclass(frozen=True, kw_only=True)
class Piece(Wanted):
    """One piece of the table.

    `attempts` counts the calls that were refused, `denied` those of them that the vendor itself answered, `told` the
    bars that went to the topic.
    """

    id: int
    state: State
    reason: str
    attempts: int
    denied: int
    told: int
    request_id: str


class Backlog:
    """The table of pieces."""

    def __init__(self, store: Store) -> None:
        """Keep pieces in the producer's memory."""
        self._store = store

    def open(self, wanted: Wanted) -> None:
        """Open a piece, together with what is open of the same request and cause and overlaps it.

        An order stays an order: what becomes of a repair is no concern of it, and one answer serves both.
        """
        with self._store.transaction():
            for other in self._overlapping(wanted.part, wanted.cause):
                wanted = wanted.with_(other)
                self._store.execute("DELETE FROM backlog WHERE id = ?", other.id)
            self._insert(wanted, State.OPEN, "")

    def refuse(self, wanted: Wanted, reason: str) -> None:
        """Note what nobody can get."""
        self._insert(wanted, State.GIVEN_UP, reason)

    def next(self, now: datetime) -> Piece | None:
        """Return what to ask for now: repairs before backfill, the oldest first."""
        return self._one(
            "state = 'open' AND not_before <= ? ORDER BY cause = 'repair' DESC, opened_at, starts_at, id", _text(now)
        )

    def next_at(self) -> datetime | None:
        """Return when a piece may be asked for next, or None while none is open."""
        (earliest,) = self._store.execute("SELECT min(not_before) FROM backlog WHERE state = 'open'").fetchone()
        return datetime.fromisoformat(earliest) if earliest else None

    def holding(self, part: Part, cause: Cause) -> Piece | None:
        """Return the newest piece of a cause that holds a whole part, whatever its state."""
        return self._one(
            "cause = ? AND symbol = ? AND interval = ? AND month = ? AND starts_at <= ? AND ends_at >= ?"
            " ORDER BY id DESC",
            cause,
            part.symbol,
            part.interval,
            part.month,
            _text(part.starts_at),
            _text(part.ends_at),
        )

    def finish(self, piece: Piece, request_id: str, told: int) -> None:
        """Close a piece that an answer has settled."""
        statement = "UPDATE backlog SET state = 'done', reason = '', request_id = ?, told = told + ? WHERE id = ?"
        self._store.execute(statement, request_id, told, piece.id)

    def postpone(self, piece: Piece, until: datetime, *, is_denied: bool) -> None:
        """Leave a piece open after an attempt in vain, until later; `is_denied` if the vendor answered it."""
        statement = "UPDATE backlog SET not_before = ?, attempts = attempts + 1, denied = denied + ? WHERE id = ?"
        self._store.execute(statement, _text(until), is_denied, piece.id)

    def ask_anew(self, piece: Piece, at: datetime, told: int) -> None:
        """Leave a piece open, with a chance less, after an answer that lacks some: one from `at` or later counts."""
        statement = (
            "UPDATE backlog SET not_before = ?, asked_since = ?, chances = chances - 1, told = told + ? WHERE id = ?"
        )
        self._store.execute(statement, _text(at), _text(at), told, piece.id)

    def give_up(self, piece: Piece, reason: str) -> None:
        """Close a piece that cannot be had."""
        self._store.execute("UPDATE backlog SET state = 'given up', reason = ? WHERE id = ?", reason, piece.id)

    def open_again(self, piece: Piece, now: datetime) -> None:
        """Try a piece again that was given up."""
        self._store.execute(
            "UPDATE backlog SET state = 'open', reason = '', attempts = 0, denied = 0, not_before = ? WHERE id = ?",
            _text(now),
            piece.id,
        )

    def open_pieces(self) -> list[Piece]:
        """Return every piece that is open, in the order in which they were opened."""
        return [_piece(row) for row in self._store.execute(f"{_SELECT} WHERE state = 'open' ORDER BY id")]

    def waiting(self) -> Mapping[Cause, tuple[int, datetime]]:
        """Return by cause how many pieces are open, and since when the oldest is."""
        rows = self._store.execute(
            "SELECT cause, count(*), min(opened_at) FROM backlog WHERE state = 'open' GROUP BY cause"
        )
        return {Cause(cause): (count, datetime.fromisoformat(oldest)) for cause, count, oldest in rows}

    def _overlapping(self, part: Part, cause: Cause) -> list[Piece]:
        rows = self._store.execute(
            f"{_SELECT} WHERE state = 'open' AND cause = ? AND symbol = ? AND interval = ? AND month = ?"
            " AND starts_at <= ? AND ends_at >= ?",
            cause,
            part.symbol,
            part.interval,
            part.month,
            _text(part.ends_at),
            _text(part.starts_at),
        )
        return [_piece(row) for row in rows]

    def _insert(self, wanted: Wanted, state: State, reason: str) -> None:
        part = wanted.part
        self._store.execute(
            "INSERT INTO backlog (symbol, interval, month, starts_at, ends_at, cause, state, reason, opened_at,"
            " asked_since, not_before, chances, again, attempts, denied, told, request_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '')",
            *(part.symbol, part.interval, part.month, _text(part.starts_at), _text(part.ends_at)),
            *(wanted.cause, state, reason),
            *map(_text, (wanted.opened_at, wanted.asked_since, wanted.not_before)),
            wanted.chances,
            wanted.again,
        )

    def _one(self, condition: str, *values: object) -> Piece | None:
        row = self._store.execute(f"{_SELECT} WHERE {condition} LIMIT 1", *values).fetchone()
        return row and _piece(row)


def _piece(row: tuple[Any, ...]) -> Piece:
    id_, symbol, interval, month, starts_at, ends_at, cause, state, reason, *instants = row[:12]
    chances, again, attempts, denied, told, by = row[12:]
    opened_at, asked_since, not_before = map(datetime.fromisoformat, instants)
    return Piece(
        id=id_,
        part=Part(symbol, Interval(interval), month, *map(datetime.fromisoformat, (starts_at, ends_at))),
        cause=Cause(cause),
        state=State(state),
        reason=reason,
        opened_at=opened_at,
        asked_since=asked_since,
        not_before=not_before,
        chances=chances,
        again=bool(again),
        attempts=attempts,
        denied=denied,
        told=told,
        request_id=by,
    )


def _text(moment: datetime) -> str:
    return moment.isoformat()
