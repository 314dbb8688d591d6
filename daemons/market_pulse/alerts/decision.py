"""Who is told what: pure, what was known and what is found now in, what is known from now on and the news out.

A finding lives from the run that first sees it until it has been gone for as long as it must last to be told, so that
one that comes and goes is one alert. Each channel has its own record of what it was told: one that was out of reach
is told later, and the others are not told again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from market_pulse.alerts.quiet import QuietHours
from market_pulse.cli.finding import Finding, Level

# What nobody has looked at for longer may have been over in between.
_LONGEST_PAUSE = timedelta(minutes=5)


class Life(msgspec.Struct, frozen=True):
    """A finding as it was last seen, and since when it lasts."""

    level: Level
    sentence: str
    since: datetime
    seen: datetime


class Told(msgspec.Struct, frozen=True):
    """What a channel was told of a finding, since when it lasted, and when it was told last."""

    level: Level
    sentence: str
    since: datetime
    at: datetime


class State(msgspec.Struct, frozen=True):
    """What is remembered between two runs: findings by key, and by channel what it was told of each."""

    lives: Mapping[str, Life] = {}
    told: Mapping[str, Mapping[str, Told]] = {}

    def without(self, keys: Collection[str]) -> "State":
        """Forget findings: they go on, and another host tells of them from now on."""
        return State(_without(self.lives, keys), {way: _without(told, keys) for way, told in self.told.items()})


@dataclass(frozen=True)
class Rules:
    """For how long a finding must last before it is told, when it is told again, and when less is told."""

    after: timedelta
    remind: timedelta = timedelta(hours=24)
    quiet: QuietHours | None = None


@dataclass(frozen=True)
class News:
    """What one channel has not been told yet, by key, and how many things are wrong, told or not."""

    begun: Mapping[str, Told]
    lasting: Mapping[str, Told]
    over: Mapping[str, Told]
    still: int


def observe(
    lives: Mapping[str, Life], findings: Iterable[Finding], now: datetime, rules: Rules, *, all_asked: bool
) -> dict[str, Life]:
    """Return the findings that live after this run.

    While a part cannot be asked, nothing counts as over: what is not known is not well.
    """
    found = {finding.key: finding for finding in findings}
    kept = {key: life for key, life in lives.items() if not all_asked or now - life.seen < rules.after}
    return kept | {key: _seen(finding, lives.get(key), now) for key, finding in found.items()}


_Known = TypeVar("_Known", Life, Told)


def _without(known: Mapping[str, _Known], keys: Collection[str]) -> dict[str, _Known]:
    return {key: of_key for key, of_key in known.items() if key not in keys}


def _seen(finding: Finding, before: Life | None, now: datetime) -> Life:
    goes_on = before is not None and now - before.seen <= _LONGEST_PAUSE
    # A clock that was set back must not put its beginning into the future.
    since = min(before.since, now) if before is not None and goes_on else now
    return Life(finding.level, finding.sentence, since, now)


def news(lives: Mapping[str, Life], told: Mapping[str, Told], now: datetime, rules: Rules) -> News:
    """Return what a channel is to be told now."""
    quiet = rules.quiet is not None and rules.quiet.holds(now)

    def loud(level: Level) -> bool:
        return level is Level.DOWN or not quiet

    # What lives, but was not seen by this run, may be over.
    ripe = {
        key: Told(life.level, life.sentence, life.since, now)
        for key, life in lives.items()
        if life.seen == now and now - life.since >= rules.after and loud(life.level)
    }
    # What was no more than worth a look and is down now is another thing to be told.
    begun = {key: now_told for key, now_told in ripe.items() if key not in told or now_told.level > told[key].level}
    return News(
        begun=begun,
        lasting={
            key: msgspec.structs.replace(now_told, since=told[key].since)
            for key, now_told in ripe.items()
            if key not in begun and now - told[key].at >= rules.remind
        },
        over={key: known for key, known in told.items() if key not in lives and loud(known.level)},
        still=sum(key in told or life.seen == now for key, life in lives.items()),
    )
