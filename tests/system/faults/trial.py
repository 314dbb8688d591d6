"""A trial: all is well, something happens, and afterwards every invariant holds within a budget of seconds."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from support.waiting import PATIENCE, eventually
from system.deployment import UNITS
from system.faults import bounds
from system.faults.scorecard import Card, Row
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, assert_positions_reach_the_logs_end
from system.market import open_for

# At the tests' speed of market time a round of polls comes every eight seconds.
_ROUNDS_SECONDS = 30
_A_TRIAL_SECONDS = 300
# How many times a unit is restarted where that depends on the moment.
ANY = range(1000)
AT_LEAST_ONCE = range(1, 1000)

Restarts = Mapping[str, int | range]


@dataclass
class Trial:
    """What tests call; every trial that holds leaves a row on the card."""

    host: Host
    card: Card
    _units: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Look at our units and at PostgreSQL's."""
        self._units = [*UNITS, self.host.postgresql_unit()]

    @contextlib.contextmanager
    def __call__(
        self, fault: str, what: str, *, within: float, restarts: Restarts | None = None, lasts: float = 0
    ) -> Iterator[None]:
        """Try one fault, healed when the block ends.

        Args:
            fault: its ID in the catalogue.
            what: the fault in words, for the card.
            within: the budget in seconds from the healing to the first new row in PostgreSQL, all units running again.
            restarts: how many times systemd restarts which unit; the others never.
            lasts: for how many seconds the market must be open beyond what any trial takes.
        """
        host = self.host
        open_for(host, _A_TRIAL_SECONDS + lasts)
        self._await_well()
        # The counters of restarts begin anew, too.
        host.run("systemctl reset-failed")
        before = bounds.journal_lines(host)
        quarantined = host.number("select count(*) from market.quarantine")
        began = time.monotonic()
        yield
        recovered = self._recover(within, restarts or {})
        tally = assert_nothing_lost_or_doubled(host)
        assert_positions_reach_the_logs_end(host)
        assert host.number("select count(*) from market.quarantine") == quarantined, "a good record is in quarantine"
        host.await_well(within=30)
        self._assert_restarts(restarts or {})
        bounds.assert_bounded(host, self._units)
        written = (bounds.journal_lines(host) - before) / (time.monotonic() - began)
        assert written < bounds.JOURNAL_LINES_PER_SECOND, f"{written:.0f} lines of the journal a second"
        self.card.add(Row(fault, what, recovered, within, tally.lost, tally.doubled))

    def _await_well(self) -> None:
        self.host.await_running(*self._units, within=180)
        moving = f"select count(*) from market.batch where recorded_at > now() - interval '{_ROUNDS_SECONDS} seconds'"
        eventually(lambda: self.host.number(moving) > 0, within=120, what="bars are being stored")

    def _recover(self, within: float, restarts: Restarts) -> float:
        """Return after how many seconds from now the first row is stored that all running units had a part in."""
        host = self.host
        began = None if restarts else _now(host)
        healed = time.monotonic()
        deadline = within + _ROUNDS_SECONDS
        for unit, expected in restarts.items():
            least = expected if isinstance(expected, int) else expected.start
            eventually(lambda u=unit, n=least: self._restarts_of(u) >= n, within=deadline, what=f"{unit} is restarted")  # type: ignore[misc]
        host.await_running(*self._units, within=deadline)
        first = f"select count(*) from market.batch where received > 0 and recorded_at > '{began or _now(host)}'"
        eventually(lambda: host.number(first) > 0, within=deadline, what="a row is stored", every=0.25)
        recovered = time.monotonic() - healed
        assert recovered <= within * PATIENCE, f"it took {recovered:.0f} s, and the budget is {within:.0f} s"
        return recovered

    def _assert_restarts(self, restarts: Restarts) -> None:
        for unit in self._units:
            expected, seen = restarts.get(unit, 0), self._restarts_of(unit)
            right = seen == expected if isinstance(expected, int) else seen in expected
            assert right, f"{unit} was restarted {seen} times, and {expected} were expected"
            assert self.host.show(unit, "Result") == {"Result": "success"}

    def _restarts_of(self, unit: str) -> int:
        return int(self.host.show(unit, "NRestarts")["NRestarts"])


def _now(host: Host) -> str:
    """Return the host's time, whatever state its database is in."""
    return host.run("date --utc +%FT%T.%NZ")
