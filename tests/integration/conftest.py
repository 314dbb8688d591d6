"""Real services for the integration tests: one of each per test run, fresh databases and topics per test."""

import gc
from collections.abc import Iterator

import pytest

from integration.services.broker import Broker, kafka_broker
from integration.services.database import Database, Server, postgresql_server
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
