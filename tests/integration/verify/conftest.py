"""A day in the database that the sink has stored, and the control command that verifies it."""

from pathlib import Path

import pytest

from integration.services.command import END, stored_day
from integration.services.database import Database
from integration.verifying import Verify, verifying
from market_pulse.topic import Topic


@pytest.fixture
def verified(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Verifies a database in which `stored_day` is stored, against a topic that ends where that does."""
    topic = Topic("bars", stored_day(database).topic_id, beginning={0: 0}, end={0: END})
    return verifying(database, topic, tmp_path, monkeypatch)
