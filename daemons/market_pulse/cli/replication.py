"""What is known of the database's standbys, and what is said where none could take over. Pure; nothing here looks."""

from collections.abc import Iterator
from dataclasses import dataclass

from market_pulse.cli.finding import Finding, Level

# A reader may hold one up for a minute, and then it has to catch up.
_MOST_SECONDS = 120.0


@dataclass(frozen=True)
class Standby:
    """Another host of the database, as it answers itself; one that cannot be asked has a `problem` and no figures.

    `behind_seconds` is how long ago what it replayed last was committed: 0 while it has replayed all, and None while it
    has replayed nothing since its start.
    """

    host: str
    problem: str | None = None
    is_primary: bool = False
    behind_bytes: int | None = None
    behind_seconds: float | None = None


@dataclass(frozen=True)
class Slot:
    """What the primary keeps for a standby: `is_active` while that streams, `is_lost` once it was away for too long."""

    name: str
    is_active: bool
    is_lost: bool


@dataclass(frozen=True)
class Replication:
    """The primary's host, the other hosts of the database, and the primary's slots for them."""

    primary: str
    standbys: tuple[Standby, ...]
    slots: tuple[Slot, ...]


def findings(replication: Replication) -> Iterator[Finding]:
    """Say what keeps a standby from taking over without a loss, or from being one."""
    for standby in replication.standbys:
        if standby.is_primary:
            yield Finding(
                Level.DOWN,
                f"there are two primaries, {replication.primary} and {standby.host}: stop the one that is not to take "
                "writes, and copy it anew (docs/standby.md)",
                "two primaries",
            )
        elif standby.problem is not None:
            yield _attention(f"the standby {standby.host} cannot be asked: {standby.problem}", standby.host)
        elif (standby.behind_seconds or 0) > _MOST_SECONDS:
            yield _attention(
                f"the standby {standby.host} is {standby.behind_seconds:.0f} s behind, {standby.behind_bytes} bytes: "
                "/var/log/postgresql/ on its host says why",
                f"{standby.host} behind",
            )
    lost = [slot.name for slot in replication.slots if slot.is_lost]
    for name in lost:
        yield _attention(
            f"the slot {name} is lost: its standby was away for longer than WAL is kept for it, and has to be copied "
            "anew (docs/standby.md)",
            f"slot {name}",
        )
    streaming = sum(slot.is_active for slot in replication.slots)
    if not lost and streaming < len(replication.standbys):
        yield _attention(
            f"{streaming or 'no'} standby streams from the database, of {len(replication.standbys)}: "
            "/var/log/postgresql/ on its host says why (docs/standby.md)",
            "streaming",
        )


def line(replication: Replication) -> str:
    """Return what the screen shows."""
    parts = [
        f"{standby.host} {standby.behind_bytes} bytes"
        + (f", {standby.behind_seconds:.1f} s behind" if standby.behind_seconds is not None else " behind")
        for standby in replication.standbys
        if standby.behind_bytes is not None
    ]
    return f"database: {', '.join([f'primary {replication.primary}', *parts])}"


def _attention(sentence: str, key: str) -> Finding:
    return Finding(Level.ATTENTION, sentence, f"standby {key}")
