"""A page of its own for each test, over a real broker and a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.services.broker import Broker
from integration.services.database import Database
from integration.services.web import Pipeline, Web, web


@pytest.fixture
def pipeline(broker: Broker, topic: str, database: Database) -> Pipeline:
    return Pipeline(broker, database, topic)


@pytest.fixture
def page(pipeline: Pipeline, tmp_path: Path) -> Iterator[Web]:
    made = web(pipeline, tmp_path / "web")
    with made.daemon.running():
        yield made
