"""Who is refused what: a symbol that fails stands alone, until so many fail in a row that it is the vendor's matter."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from market_pulse.sources.base import Refusal, RefusedError, Request

# So many questions that were answered before have to fail in a row.
_IN_A_ROW = 2


@dataclass
class Trouble:
    """One live question that is refused: since which of the vendor's days, how often, and how often on `day`."""

    refusal: Refusal
    sentence: str
    since: date
    day: date
    times: int = 0
    calls_today: int = 0
    out_of_calls: bool = False


@dataclass
class Troubles:
    """The live questions that are refused now. `held_until` is set while the vendor as a whole is left alone."""

    watched: int = 0
    held_until: datetime | None = None
    in_a_row: int = 0
    _of: dict[Request, Trouble] = field(default_factory=dict)

    def __contains__(self, request: object) -> bool:
        """Return whether a question is refused."""
        return request in self._of

    def __iter__(self) -> Iterator[tuple[Request, Trouble]]:
        """Yield what is refused, the longest first."""
        return iter(self._of.items())

    def __len__(self) -> int:
        """Return how many questions are refused."""
        return len(self._of)

    def add(self, request: Request, error: RefusedError, today: date) -> tuple[Trouble, bool]:
        """Note a refusal; return the trouble, and whether that class of refusal is news."""
        known = {trouble.refusal for trouble in self._of.values()}
        trouble = self._of.setdefault(request, Trouble(error.refusal, str(error), today, today))
        if trouble.day != today:
            trouble.day, trouble.calls_today, trouble.out_of_calls = today, 0, False
        trouble.refusal, trouble.sentence = error.refusal, str(error)
        trouble.times += 1
        trouble.calls_today += 1
        return trouble, error.refusal not in known

    def is_the_vendors(self, *, is_new: bool) -> bool:
        """Count a failure; return whether it is the vendor that fails and not the symbol."""
        self.in_a_row += 1
        return (is_new and self.in_a_row >= _IN_A_ROW) or len(self._of) >= self.watched

    def clear(self, request: Request) -> bool:
        """Note an answer; return whether it was the last one that was missing."""
        return self._of.pop(request, None) is not None and not self._of

    def back(self) -> list[Request]:
        """Note that the vendor answers; return which questions need not wait any longer, if it was left alone."""
        was_held, self.held_until, self.in_a_row = self.held_until is not None, None, 0
        # What began to fail today may have been the vendor's fault alone.
        return [
            request
            for request, trouble in self._of.items()
            if was_held and (trouble.since == trouble.day or not trouble.out_of_calls)
        ]

    def keep(self, requests: frozenset[Request]) -> None:
        """Forget the questions that are no longer asked."""
        self.watched = len(requests)
        self._of = {request: trouble for request, trouble in self._of.items() if request in requests}
