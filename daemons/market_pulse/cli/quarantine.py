"""`market-pulse quarantine`: what came on the topic and is neither bar nor answer, and the way out."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import psycopg2
import typer
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.cli.database import Account, connect
from market_pulse.cli.instants import instant
from market_pulse.cli.record import operator, recorded
from market_pulse.cli.render import console_of, table
from market_pulse.cli.settings import CliSettings
from market_pulse.errors import MarketPulseError
from market_pulse_stream import quarantine, quarantine_replay
from market_pulse_stream.quarantine import Choice, Kept
from market_pulse_stream.quarantine_replay import Replayed

# Of a statement; the largest is one transaction of a replay.
_SECONDS = 60
_BYTES_PER_LINE = 16
_NOTE_LENGTH = 200

_Reason = Annotated[str | None, typer.Option(help="Only records that break this rule.")]
_Since = Annotated[
    datetime | None, typer.Option(parser=instant, metavar="INSTANT", help="Only records stored then or later.")
]
_Partition = Annotated[int | None, typer.Option(help="Only this partition's records.")]
_Offset = Annotated[int | None, typer.Option(help="Only the record of this offset, with --partition.")]

app = typer.Typer(
    no_args_is_help=True, help="See what came on the topic and is no bar, and store what is one after all."
)


@app.command("list")
def list_kept(*, reason: _Reason = None, since: _Since = None, limit: Annotated[int, typer.Option(min=0)] = 20) -> None:
    """Count the records in quarantine by the rule they break, and list the newest.

    Exit code 0: listed; 2: the database cannot be asked.
    """
    with _asking("list") as (settings, connection):
        counts = quarantine.counts(connection, settings.topic)
        newest = quarantine.newest(connection, Choice(settings.topic, reason, since), limit)
    console = console_of(sys.stdout, markup=False)
    if not counts:
        console.print("nothing is in quarantine")
        return
    by_reason = table("reason", "in quarantine", "acknowledged", "replayed", "newest (UTC)")
    for count in counts:
        numbers = map(str, (count.waiting, count.acknowledged, count.replayed))
        by_reason.add_row(count.reason, *numbers, f"{count.newest:%Y-%m-%d %H:%M:%S}")
    console.print(by_reason)
    records = table("partition", "offset", "stored (UTC)", "reason", "what was wrong")
    for kept in newest:
        stored = f"{kept.recorded_at:%Y-%m-%d %H:%M:%S}"
        records.add_row(str(kept.partition), str(kept.record.offset), stored, kept.reason, printable(kept.detail))
    console.print(records)


@app.command()
def show(partition: int, offset: int) -> None:
    """Show one record byte for byte, with what was wrong with it.

    Exit code 0: shown; 2: it is not in quarantine, or the database cannot be asked.
    """
    with _asking("show") as (settings, connection):
        found = quarantine.at_offset(connection, settings.topic, partition, offset)
    if not found:
        typer.echo(
            f"market-pulse quarantine show: partition {partition} offset {offset} is not in quarantine", err=True
        )
        raise typer.Exit(2)
    for kept in found:
        typer.echo("\n".join(_lines(settings.topic, kept)))


@app.command()
@recorded
def replay(
    *,
    reason: _Reason = None,
    since: _Since = None,
    partition: _Partition = None,
    offset: _Offset = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of them; store nothing.")] = False,
) -> None:
    """Decode records with this release's rules again, and store those that pass, each once.

    Exit code 0: all passed; 1: some stay in quarantine; 2: it cannot be done.
    """
    _refuse_vague(reason, partition, offset)
    with _asking("replay") as (settings, connection):
        choice = Choice(settings.topic, reason, since, partition, offset)
        if dry_run:
            remaining = _try(connection, choice)
        else:
            done = sum(quarantine_replay.replay(connection, choice, operator()), Replayed())
            typer.echo(
                f"{done.decoded} decoded: {done.stored} bars stored, {done.unchanged} unchanged, "
                f"{done.superseded} superseded, {done.answers} answers, {done.still_rejected} stay in quarantine"
            )
            remaining = done.still_rejected
    raise typer.Exit(1 if remaining else 0)


@app.command()
@recorded
def acknowledge(
    *,
    note: Annotated[str, typer.Option(help="Why they may stay, in a few words.")],
    reason: _Reason = None,
    since: _Since = None,
    partition: _Partition = None,
    offset: _Offset = None,
) -> None:
    """Have nothing warn of records any more that will never be bars; they stay, and may be replayed even so.

    Exit code 0: done; 2: it cannot be done.
    """
    _refuse_vague(reason, partition, offset)
    if not 0 < len(note.strip()) <= _NOTE_LENGTH:
        raise typer.BadParameter(f"--note is {note!r}: say in at most {_NOTE_LENGTH} letters why they may stay")
    with _asking("acknowledge") as (settings, connection):
        choice = Choice(settings.topic, reason, since, partition, offset)
        count = quarantine.acknowledge(connection, choice, operator(), note.strip())
    typer.echo(f"{count} acknowledged")


def printable(text: str) -> str:
    """Return a text without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def hex_lines(content: bytes | None) -> list[str]:
    """Return bytes as lines of offset, hexadecimal digits and letters."""
    if content is None:
        return ["  none"]
    lines = []
    for start in range(0, len(content), _BYTES_PER_LINE):
        part = content[start : start + _BYTES_PER_LINE]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)  # noqa: PLR2004 - ASCII's bounds
        lines.append(f"  {start:06x}  {part.hex(' '):<{3 * _BYTES_PER_LINE}} {letters}")
    return lines


def _lines(topic: str, kept: Kept) -> Iterator[str]:
    yield f"topic {topic} ({kept.topic_id}) partition {kept.partition} offset {kept.record.offset} log {kept.log_epoch}"
    yield f"{kept.reason}: {printable(kept.detail)}"
    appended = f"{kept.record.appended_at:%Y-%m-%dT%H:%M:%S.%fZ}" if kept.record.appended_at else "not noted"
    yield f"appended to the topic: {appended}; stored: {kept.recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    if kept.replayed_at:
        fate = f"stored as {kept.replay_fate}" if kept.replay_fate else "still no bar"
        yield f"replayed: {kept.replayed_at:%Y-%m-%dT%H:%M:%SZ}, {fate}"
    if kept.acknowledged_at:
        by, note = printable(kept.acknowledged_by or ""), printable(kept.note or "")
        yield f"acknowledged: {kept.acknowledged_at:%Y-%m-%dT%H:%M:%SZ} by {by}: {note}"
    for name, content in (("key", kept.record.key), ("value", kept.record.value)):
        if content is None:
            yield f"{name}: none"
            continue
        yield f"{name}, {len(content)} bytes: {printable(content.decode('utf-8', 'backslashreplace'))}"
        yield from hex_lines(content)


def _refuse_vague(reason: str | None, partition: int | None, offset: int | None) -> None:
    if reason is None and partition is None:
        raise typer.BadParameter("say which records: --reason, or --partition with or without --offset")
    if offset is not None and partition is None:
        raise typer.BadParameter("an offset is one of a partition: give --partition, too")


def _try(connection: Connection, choice: Choice) -> int:
    outcomes = quarantine_replay.trial(connection, choice)
    for (reason, outcome), count in sorted(outcomes.items()):
        would = f"would be stored as {outcome}" if outcome in {"bar", "answer"} else f"would stay: {outcome}"
        typer.echo(f"{count} {reason} {would}")
    return sum(count for (_, outcome), count in outcomes.items() if outcome not in {"bar", "answer"})


@contextlib.contextmanager
def _asking(command: str) -> Iterator[tuple[CliSettings, Connection]]:
    """Give this host's settings and a session as the writer, who alone may read what anyone sent; or leave with 2."""
    try:
        settings = CliSettings.load_host()
        with contextlib.closing(connect(settings, Account.WRITER, seconds=_SECONDS)) as connection:
            yield settings, connection
    except (MarketPulseError, psycopg2.Error) as error:
        typer.echo(f"market-pulse quarantine {command}: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
