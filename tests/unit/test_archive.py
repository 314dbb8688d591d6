"""The archive of raw answers: what is kept is found again as it was, and what cannot be kept is an error."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from market_pulse.contract import Cause, Interval
from market_pulse.errors import StateError
from market_pulse.producer.archive import Archive, Archived, Place
from market_pulse.sources.base import DataType, Function, Refusal, Request

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)
DAY = timedelta(days=1)
IBM = Request(Function.INTRADAY, "IBM", Interval.ONE_MINUTE)
BODY = b"timestamp,open,high,low,close,volume\r\n" * 100


def _entry(request_id: str, at: datetime = NOON, body: bytes = BODY, request: Request = IBM) -> Archived:
    digest = hashlib.sha256(body).hexdigest() if body else None
    return Archived(request_id, "simulator", Cause.POLL, request, at, at, None, digest, body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def archive(folder: Path) -> Archive:
    return Archive(folder, keep_days=400)


def _ids(archive: Archive, **limits: datetime) -> list[str]:
    return [entry.request_id for entry in archive.entries(**limits)]


def test_what_is_kept_is_found_as_it_was(archive: Archive, folder: Path) -> None:
    month = Request(Function.INTRADAY, "BRK.B", Interval.FIVE_MINUTES, DataType.CSV, full=True, month="2026-04")
    entries = [
        _entry("a"),
        replace(_entry("b", request=month), only=(NOON - DAY, NOON), settle=timedelta(seconds=5.5), is_again=True),
        replace(_entry("c", body=b"\x00\xff no"), refusal=Refusal.INVENTED, cause=Cause.BACKFILL),
        replace(_entry("d", body=b""), refusal=Refusal.VENDOR_ERROR, lag=timedelta(minutes=15)),
        _entry("e", NOON + timedelta(microseconds=1), request=replace(IBM, recording="é.csv")),
    ]
    places = [archive.add(entry) for entry in entries]
    assert places == [Place("2026-01-05", number) for number in range(1, 6)]
    assert list(Archive(folder, 1).entries()) == entries
    assert [archive.find(entry.request_id) for entry in entries] == entries
    assert archive.find("z") is None
    assert list(archive.after(places[2])) == list(zip(places, entries, strict=True))[3:]
    assert archive.end() == places[-1]


def test_before_the_first_entry_there_is_nothing(archive: Archive, folder: Path) -> None:
    assert (_ids(archive), archive.find("a"), archive.newest(IBM, NOON), archive.prune(NOON)) == ([], None, None, 0)
    assert archive.end() < archive.add(_entry("a"))
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".sqlite3") == ["2026-01-05.sqlite3"]


def test_an_answer_is_kept_once_and_its_body_once_per_day(archive: Archive, folder: Path) -> None:
    assert archive.add(_entry("a")) == archive.add(_entry("a"))
    archive.add(_entry("b"))
    archive.add(_entry("c", NOON + DAY))
    assert _ids(archive) == ["a", "b", "c"]
    archive.close()
    counts = []
    for path in sorted(folder.glob("*.sqlite3")):
        connection = sqlite3.connect(path)
        counts.append(connection.execute("SELECT count(*), max(length(deflated)) < 100 FROM body").fetchone())
        connection.close()
    assert counts == [(1, 1), (1, 1)]


def test_entries_stay_in_the_order_of_their_taking_whatever_the_clock_does(archive: Archive, folder: Path) -> None:
    moments = {"a": NOON, "b": NOON + DAY, "c": NOON, "d": NOON + 3 * DAY, "e": NOON + 2 * DAY}
    places = []
    for name, at in moments.items():
        places.append(archive.add(_entry(name, at)))
        archive = Archive(folder, 400)
    assert places == sorted(places)
    assert _ids(archive) == list("abcde")
    assert _ids(archive, since=NOON + DAY, until=NOON + 3 * DAY) == ["b", "e"]
    # No earlier file is written to again, so nothing slips in before what was read already.
    assert [place.day for place in places] == ["2026-01-05", "2026-01-06", "2026-01-06", "2026-01-08", "2026-01-08"]


def test_the_newest_answer_to_the_same_question_is_found(archive: Archive) -> None:
    month = replace(IBM, full=True, month="2025-12")
    for number, entry in enumerate(
        [
            _entry("old", NOON, request=month),
            _entry("new", NOON + DAY, request=month),
            replace(_entry("refused", NOON + 2 * DAY, request=month), refusal=Refusal.BURST),
            replace(_entry("again", NOON + 2 * DAY, request=month), is_again=True),
            _entry("short", NOON + 2 * DAY, request=replace(month, full=False)),
            _entry("other", NOON + 2 * DAY, request=replace(month, symbol="MSFT")),
            _entry("later", NOON + 2 * DAY, request=replace(month, month="2026-01")),
        ]
    ):
        assert archive.add(entry).id <= number + 1

    def newest(since: datetime) -> str | None:
        found = archive.newest(month, since)
        return found and found.request_id

    assert [newest(NOON - DAY), newest(NOON + DAY)] == ["new", "new"]
    assert newest(NOON + DAY + timedelta(microseconds=1)) is None


def test_old_days_are_deleted_and_no_others(archive: Archive, folder: Path) -> None:
    for days in (0, 1, 400, 401):
        archive.add(_entry(f"{days}", NOON + days * DAY))
    (folder / "notes.txt").write_text("keep")
    assert archive.prune(NOON + 401 * DAY) == 1
    assert _ids(archive) == ["1", "400", "401"]
    # A clock alone proves nothing about the age of what is kept.
    assert archive.prune(NOON + 1000 * DAY) == 0
    assert archive.add(_entry("new", NOON + 1000 * DAY)) == Place("2028-10-01", 1)
    assert archive.prune(NOON + 1000 * DAY) == 3
    assert _ids(archive) == ["new"]
    assert (folder / "notes.txt").exists()


def test_a_clock_far_ahead_deletes_few_files(archive: Archive) -> None:
    for days in range(30):
        archive.add(_entry(f"{days}", NOON + days * DAY))
    archive.add(_entry("wrong", NOON + 1000 * DAY))
    assert archive.prune(NOON + 1000 * DAY) == 7
    assert _ids(archive) == [*map(str, range(7, 30)), "wrong"]


@pytest.mark.parametrize("content", [b"no database" * 1000, b""])
def test_a_file_that_is_not_ours_is_named_and_left_alone(archive: Archive, folder: Path, content: bytes) -> None:
    folder.mkdir()
    path = folder / "2026-01-05.sqlite3"
    path.write_bytes(content)
    for act in (lambda: archive.add(_entry("a")), lambda: _ids(archive), archive.end, lambda: archive.find("a")):
        with pytest.raises(StateError, match=f"{path}.* move (it|the file)"):
            act()
    assert path.read_bytes() == content


def test_a_file_of_another_release_is_refused(archive: Archive, folder: Path) -> None:
    archive.add(_entry("a"))
    archive.close()
    connection = sqlite3.connect(folder / "2026-01-05.sqlite3")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StateError, match=r"version 9 .* reads 1"):
        archive.add(_entry("b"))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE body SET deflated = zeroblob(9)",
        "UPDATE body SET deflated = (SELECT o.deflated FROM body AS o WHERE o.sha256 <> body.sha256)",
        "DELETE FROM body",
        "UPDATE entry SET facts = '{}'",
        "UPDATE entry SET facts = x'ff'",
    ],
)
def test_an_entry_that_was_changed_is_found_out(archive: Archive, folder: Path, damage: str) -> None:
    archive.add(_entry("a"))
    archive.add(_entry("b", body=b"other"))
    archive.close()
    path = folder / "2026-01-05.sqlite3"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(StateError, match=str(path)):
        _ids(archive)


def test_a_full_disk_is_an_error_and_keeps_what_is_there(archive: Archive, folder: Path) -> None:
    archive.add(_entry("a"))
    assert archive._written is not None  # noqa: SLF001 - the only way to a small disk
    (pages,) = archive._written[1].execute("PRAGMA page_count").fetchone()  # noqa: SLF001
    archive._written[1].execute(f"PRAGMA max_page_count = {pages}")  # noqa: SLF001
    with pytest.raises(StateError, match=r"2026-01-05.sqlite3 cannot be used: .* full; make room"):
        archive.add(_entry("b", body=os.urandom(100_000)))
    assert _ids(Archive(folder, 400)) == ["a"]
    archive._written[1].execute("PRAGMA max_page_count = 100000")  # noqa: SLF001
    archive.add(_entry("c"))
    assert _ids(archive) == ["a", "c"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        Archive(tmp_path / "file" / "archive", 400).add(_entry("a"))


def test_what_was_added_survives_the_death_of_its_process(archive: Archive, folder: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from unit.test_archive import Archive, _entry\n"
        "archive = Archive(Path(sys.argv[1]), 400)\n"
        "for number in range(10): archive.add(_entry(str(number)))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, folder], check=False, env=environment)
    assert _ids(archive) == [str(number) for number in range(10)]


def test_files_are_for_their_user_alone(archive: Archive, folder: Path) -> None:
    mask = os.umask(0o077)
    try:
        archive.add(_entry("a"))
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_was_paid_for_is_kept_although_the_disk_has_filled_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, insert = Archive(tmp_path / "archive", 400), Archive._insert  # noqa: SLF001 - a disk that is full
    reserved = tmp_path / "archive" / "reserved"

    def full(*arguments: Any) -> Any:
        if reserved.exists():
            raise sqlite3.OperationalError("database or disk is full")
        return insert(*arguments)

    archive.reserve(NOON)
    assert reserved.stat().st_blocks > 0
    monkeypatch.setattr(Archive, "_insert", full)
    entry = _entry("a", NOON)
    archive.add(entry)
    assert archive.find("a") == entry
    # Before the next call there has to be room again.
    archive.reserve(NOON)
    assert reserved.exists()


def test_a_file_that_cannot_be_written_is_found_before_the_call(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive", 400)
    archive.add(_entry("a", NOON))
    archive.close()
    (path,) = (tmp_path / "archive").glob("*.sqlite3")
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=path.name):
        archive.reserve(NOON)
