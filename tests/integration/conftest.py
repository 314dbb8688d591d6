"""Real services for the integration tests: one of each per test run, fresh databases and topics per test."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.services.broker import Broker, kafka_broker
from integration.services.database import PASSWORD, Database, Server, postgresql_server
from market_pulse_stream.postgresql import Database as Sink
from support.browser import browser as browser


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def topic(broker: Broker) -> Iterator[str]:
    """A fresh topic of three partitions."""
    name = broker.create_topic()
    yield name
    with broker.admin() as admin:
        if name in admin.list_topics():
            broker.delete_topic(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    with postgresql_server() as running:
        yield running


@pytest.fixture
def database(postgresql: Server) -> Iterator[Database]:
    """A fresh database with all migrations applied."""
    with postgresql.migrated_database() as fresh:
        yield fresh


@pytest.fixture
def left_sockets() -> Iterator[None]:
    """Have those collected that kafka-python leaves of a refusing broker, before another test wonders."""
    yield
    gc.collect()


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The consumer's password as its unit is handed it."""
    path = tmp_path / "mp_postgresql_writer_password"
    path.write_text(PASSWORD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return path


@pytest.fixture
def sink(database: Database, credentials: Path) -> Sink:
    """The database as the consumer's driver and its executors reach it."""
    assert credentials.exists()
    server = database.server
    return Sink(server.host, server.port, database.name, server.accounts["writer"], str(server.authority))
