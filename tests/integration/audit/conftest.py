"""The auditor's session of a Monday on which IBM is collected."""

from collections.abc import Iterator

import pytest

from integration.audited import BEFORE, OPEN, Audited, audited
from integration.services.database import Database


@pytest.fixture
def market(database: Database) -> Iterator[Audited]:
    with audited(database) as session:
        session.calendar(OPEN)
        session.series("IBM", BEFORE)
        yield session
