"""The way out of quarantine: what an older release could not read, stored once by a newer one."""

import contextlib
import functools
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg2.extensions
import pytest
from typer.testing import CliRunner, Result

from integration.services.database import PASSWORD, Database
from integration.services.records import APPENDED, OPENING, bar, records, task
from market_pulse import contract
from market_pulse.cli import app, collect
from market_pulse.cli import database as sessions
from market_pulse.cli import quarantine as command
from market_pulse.cli.settings import CliSettings
from market_pulse.contract import Bar, Reason, Rejection
from market_pulse_stream import quarantine_replay
from market_pulse_stream.decode import Record
from market_pulse_stream.quarantine import Choice
from market_pulse_stream.quarantine_replay import Replayed
from market_pulse_stream.sink import store

_CHOICE = Choice("bars", reason="bad_volume")
_FATES = "SELECT record_offset, reason, replay_fate FROM market.quarantine ORDER BY 1"


@pytest.fixture
def writer(database: Database) -> Iterator[psycopg2.extensions.connection]:
    with contextlib.closing(database.connect("writer")) as connection:
        yield connection


def refuse_odd_volumes(key: bytes | None, value: bytes | None, *times: datetime | None) -> object:
    """Decode as a release does that refuses every volume but 1200."""
    found = decode(key, value, *times)
    if isinstance(found, Bar) and found.volume != "1200":
        return Rejection(Reason.BAD_VOLUME, f"volume {found.volume} is refused by mistake")
    return found


decode = contract.decode


@pytest.fixture
def told(database: Database, writer: psycopg2.extensions.connection, monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """Store good bars, and as a faulty release quarantine good ones of which one is superseded, and junk."""
    newer = bar(minute=0, volume="9", fetched_at=OPENING.replace(hour=20), request_id="r9")
    kept = records(bar(minute=0), newer, bar(minute=1, volume="7"), bar(minute=2, close="11.30"))
    kept += records(
        bar(minute=2, volume="8", fetched_at=OPENING.replace(minute=32)), bar("MSFT", 5, volume="6"), first=4
    )
    kept += [Record(6, b"IBM", b"junk[bold]\x00\x1b[31m", APPENDED), Record(7, b"IBM", b"9" * 2000, APPENDED)]
    with monkeypatch.context() as release:
        release.setattr(contract, "decode", refuse_odd_volumes)
        account = store(writer, task(database), kept)
    assert (account.stored, account.quarantined) == (2, 6)
    return kept


def test_exactly_the_fixed_ones_are_stored_and_once(
    database: Database, writer: psycopg2.extensions.connection, told: list[Record]
) -> None:
    assert len(told) == 8
    (done,) = quarantine_replay.replay(writer, _CHOICE, "someone")
    assert done == Replayed(decoded=4, stored=3, superseded=1)
    assert database.query(_FATES) == [
        (1, "bad_volume", "bar"),
        (2, "bad_volume", "bar"),
        (4, "bad_volume", "bar"),
        (5, "bad_volume", "bar"),
        (6, "not_json", None),
        (7, "too_large", None),
    ]
    volumes = (
        "SELECT symbol, extract(minute FROM bar_time - %s)::int, volume, close::text FROM market.bar ORDER BY 1, 2"
    )
    stored = [("IBM", 0, 9, "11.25"), ("IBM", 1, 7, "11.25"), ("IBM", 2, 1200, "11.30"), ("MSFT", 5, 6, "11.25")]
    assert database.query(volumes, OPENING) == stored
    before = database.query("SELECT * FROM market.bar_revision ORDER BY record_offset")
    assert [row[-1] for row in before] == [0, 1, 2, 3, 4, 5]
    assert list(quarantine_replay.replay(writer, _CHOICE, "someone")) == []
    assert database.query("SELECT * FROM market.bar_revision ORDER BY record_offset") == before
    ledger = "SELECT decoded, stored, unchanged, superseded, still_rejected, requested_by FROM market.quarantine_replay"
    assert database.query(ledger) == [(4, 3, 0, 1, 0, "someone")]
    assert database.query("SELECT quarantined FROM market.batch") == [(6,)]


def test_what_still_fails_stays_with_the_reason_it_has_now(
    database: Database,
    writer: psycopg2.extensions.connection,
    told: list[Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert told
    outcomes = quarantine_replay.trial(writer, Choice("bars"))
    assert outcomes == {("bad_volume", "bar"): 4, ("not_json", "not_json"): 1, ("too_large", "too_large"): 1}
    assert database.query("SELECT count(*) FROM market.quarantine WHERE replayed_at IS NOT NULL") == [(0,)]
    stricter = Rejection(Reason.BAD_PRICE, "NUL \0 and lone surrogate \ud800")
    monkeypatch.setattr(contract, "decode", lambda *_: stricter)
    (done,) = quarantine_replay.replay(writer, Choice("bars", partition=0, offset=6), "someone")
    assert done == Replayed(decoded=1, still_rejected=1)
    state = "SELECT reason, replay_fate, replayed_at IS NULL FROM market.quarantine WHERE record_offset = 6"
    assert database.query(state) == [("bad_price", None, False)]
    assert bytes(database.query("SELECT value FROM market.quarantine WHERE record_offset = 6")[0][0]) == told[6].value


def test_what_a_wrong_clock_dated_ahead_is_stored_when_its_time_has_come(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    ahead = bar(minute=1, fetched_at=OPENING)
    told = [*records(ahead, bar(minute=2)), *records(bar(fetched_at=datetime(2100, 1, 1, tzinfo=UTC)), first=2)]
    account = store(writer, task(database), [msgspec.structs.replace(record, appended_at=OPENING) for record in told])
    assert (account.stored, account.quarantined) == (0, 3)
    assert database.query(_FATES) == [
        (0, "future_bar", None),
        (1, "future_telling", None),
        (2, "future_telling", None),
    ]
    expected = {("future_bar", "bar"): 1, ("future_telling", "bar"): 1, ("future_telling", "future_telling"): 1}
    assert quarantine_replay.trial(writer, Choice("bars")) == expected
    assert list(quarantine_replay.replay(writer, Choice("bars"), "someone")) == [
        Replayed(3, stored=2, still_rejected=1)
    ]
    times = "SELECT bar_time, fetched_at FROM market.bar ORDER BY 1"
    assert database.query(times) == [(item.bar_time, item.fetched_at) for item in (ahead, bar(minute=2))]


def test_what_a_wrong_clock_dated_ahead_does_not_stand_against_what_was_told_since(
    database: Database, writer: psycopg2.extensions.connection
) -> None:
    ahead = bar(minute=1, volume="100", fetched_at=OPENING.replace(hour=20), request_id="r1")
    true = bar(minute=1, volume="900", fetched_at=OPENING.replace(minute=32), request_id="r2")
    told = [msgspec.structs.replace(record, appended_at=OPENING.replace(minute=32)) for record in records(ahead, true)]
    account = store(writer, task(database), told)
    assert (account.stored, account.quarantined) == (1, 1)
    assert quarantine_replay.trial(writer, Choice("bars")) == {("future_telling", "overtaken"): 1}
    for reason in ("future_telling", "overtaken"):
        assert list(quarantine_replay.replay(writer, Choice("bars", reason=reason), "someone")) == [
            Replayed(1, still_rejected=1)
        ]
        assert database.query(_FATES) == [(0, "overtaken", None)]
    assert database.query("SELECT volume FROM market.bar") == [(900,)]
    assert database.query("SELECT volume FROM market.bar_revision") == [(900,)]
    ((detail,),) = database.query("SELECT detail FROM market.quarantine")
    assert "told again at offset 1" in detail


def test_two_at_once_store_each_once(database: Database, told: list[Record]) -> None:
    assert told
    done: list[Replayed] = []

    def replay() -> None:
        with contextlib.closing(database.connect("writer")) as connection:
            done.append(sum(quarantine_replay.replay(connection, Choice("bars"), "someone"), Replayed()))

    threads = [threading.Thread(target=replay) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(item.stored for item in done) == 3
    assert database.query("SELECT sum(stored)::int FROM market.quarantine_replay") == [(3,)]


def test_a_failure_stores_none_and_marks_none(
    database: Database, writer: psycopg2.extensions.connection, told: list[Record]
) -> None:
    assert told
    database.query("REVOKE INSERT ON market.quarantine_replay FROM market_pulse_writer")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        list(quarantine_replay.replay(writer, _CHOICE, "someone"))
    assert database.query("SELECT count(*) FROM market.bar") == [(2,)]
    assert database.query("SELECT count(*) FROM market.quarantine WHERE replay_fate IS NOT NULL") == [(0,)]


def test_many_are_replayed_in_parts(
    database: Database, writer: psycopg2.extensions.connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, odd = task(database), records(*(bar(minute=minute, volume="5") for minute in range(2500)))
    with monkeypatch.context() as release:
        release.setattr(contract, "decode", refuse_odd_volumes)
        # So few that each of them is decoded by itself.
        for number in range(0, 2500, 250):
            store(writer, replace(first, batch_id=number), odd[number : number + 250])
    parts = list(quarantine_replay.replay(writer, _CHOICE, "someone"))
    assert [part.stored for part in parts] == [1000, 1000, 500]
    assert database.query("SELECT count(*) FROM market.bar") == [(2500,)]


@pytest.mark.parametrize("column", ["key", "value", "record_offset", "recorded_at", "topic"])
def test_what_was_received_cannot_be_changed(database: Database, column: str) -> None:
    with (
        contextlib.closing(database.connect("writer")) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(f"UPDATE market.quarantine SET {column} = {column}")


@pytest.fixture
def host(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this a host with the pipeline's settings and the writer's credential."""
    (tmp_path / "mp_postgresql_writer_password").write_text(PASSWORD)
    values = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "topic": "bars",
        **database.settings("monitor"),
    }
    settings = CliSettings.model_construct(**values)
    monkeypatch.setattr(CliSettings, "load_host", lambda: settings)
    monkeypatch.setattr(command, "connect", functools.partial(sessions.connect, credentials=tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["quarantine", *arguments])


def test_the_operator_sees_what_is_there_and_lets_out_what_is_good(host: Path, told: list[Record]) -> None:
    assert told
    listed = run("list")
    assert listed.exit_code == 0
    assert "bad_volume  4              0             0" in listed.stdout
    assert "volume 7 is refused by mistake" in listed.stdout
    assert "refused by mistake" not in run("list", "--reason", "not_json").stdout
    assert "refused by mistake" not in run("list", "--since", "2100-01-01T00:00Z").stdout

    shown = run("show", "0", "6")
    assert "6a 75 6e 6b 5b 62 6f 6c 64 5d 00 1b" in shown.stdout
    assert "value, 16 bytes: junk[bold]\\x00\\x1b[31m" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert run("show", "0", "0").exit_code == 2

    tried = run("replay", "--reason", "bad_volume", "--dry-run")
    assert (tried.exit_code, tried.stdout) == (0, "4 bad_volume would be stored as bar\n")
    first = run("replay", "--reason", "bad_volume")
    assert (first.exit_code, "3 bars stored, 0 unchanged, 1 superseded" in first.stdout) == (0, True)
    assert run("replay", "--reason", "bad_volume").stdout.startswith("0 decoded")
    stuck = run("replay", "--partition", "0", "--offset", "6")
    assert (stuck.exit_code, "1 stay in quarantine" in stuck.stdout) == (1, True)
    assert "stored as bar" in run("show", "0", "1").stdout

    (host / "mp_postgresql_writer_password").unlink()
    refused = run("list")
    assert refused.exit_code == 2
    assert "mp_postgresql_writer_password does not exist" in refused.stderr


def test_what_will_never_be_a_bar_is_acknowledged_and_may_be_replayed_even_so(
    host: Path, database: Database, told: list[Record]
) -> None:
    assert host
    assert told
    open_ones = collect._QUARANTINE  # noqa: SLF001 - what status warns of
    assert dict(database.query(open_ones)) == {"bad_volume": 4, "not_json": 1, "too_large": 1}
    for reason in ("not_json", "bad_volume"):
        done = run("acknowledge", "--reason", reason, "--note", " a test\x1b of mine ")
        assert done.exit_code == 0, done.stderr
    assert dict(database.query(open_ones)) == {"too_large": 1}
    assert run("acknowledge", "--reason", "not_json", "--note", "again").stdout == "0 acknowledged\n"
    assert "bad_volume  0              4             0" in run("list").stdout
    shown = run("show", "0", "6").stdout
    assert "by operator: a test\\x1b of mine" in re.sub(r"by \S+:", "by operator:", shown)
    assert "3 bars stored, 0 unchanged, 1 superseded" in run("replay", "--reason", "bad_volume").stdout
    assert "bad_volume  0              0             4" in run("list").stdout


@pytest.mark.parametrize("note", ["", "  ", "x" * 201])
def test_an_acknowledgement_says_why(host: Path, database: Database, told: list[Record], note: str) -> None:
    assert host
    assert told
    refused = run("acknowledge", "--reason", "not_json", "--note", note)
    assert refused.exit_code == 2
    assert "say in at most 200 letters why they may stay" in " ".join(refused.stderr.replace("│", " ").split())
    assert database.query("SELECT count(*) FROM market.quarantine WHERE acknowledged_at IS NOT NULL") == [(0,)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["acknowledge", "--note", "why"],
        ["replay", "--offset", "3"],
        ["list", "--since", "yesterday"],
        ["list", "--since", "2026-05-15T12:00"],
    ],
)
def test_what_is_not_clear_is_asked_back(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
