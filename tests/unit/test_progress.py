from pathlib import Path

import pytest

from market_pulse import progress
from market_pulse.errors import StateError


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    facts = {"at": "2026-05-15T13:30:00Z", "batch_id": 7, "behind": None, "symbols": ["IBM", "BRK.B"]}
    progress.write(path, facts)
    assert progress.read(path) == facts


def test_a_write_replaces_the_file_instead_of_changing_it(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    progress.write(path, {"batch_id": 1})
    with path.open() as held:
        progress.write(path, {"batch_id": 2})
        assert held.read() == '{"batch_id": 1}'
    assert [entry.name for entry in tmp_path.iterdir()] == [progress.NAME]


def test_others_may_read_it_under_any_umask(tmp_path: Path) -> None:
    path = tmp_path / progress.NAME
    progress.write(path, {})
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_daemon_that_has_not_written_yet_has_no_facts(tmp_path: Path) -> None:
    assert progress.read(tmp_path / progress.NAME) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_anything_else_in_the_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / progress.NAME
    path.write_text(text)
    with pytest.raises(StateError, match=progress.NAME):
        progress.read(path)
