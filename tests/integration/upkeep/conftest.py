"""The upkeep as its unit runs it, which keeps every month."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.services.database import Database
from integration.upkept import Session, session


@pytest.fixture
def job(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with session(database, tmp_path, monkeypatch) as made:
        yield made
