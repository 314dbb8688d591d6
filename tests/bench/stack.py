"""The services of a bench: a broker, and a server that is as durable and as large as a deployment's."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from bench.way import Route, Stack
from bench.workload import FIRST, PARTITIONS
from integration.services.broker import kafka_broker
from integration.services.database import cluster
from market_pulse.kafka_login import Principal
from support.repository import role_defaults, role_vars

# What of the role's settings bears on speed; archiving costs every way the same, and is left out.
_SPEED = ("shared_buffers", "jit", "max_connections")
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_EVERYTHING = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
_MONTHS = (
    "SELECT market.ensure_partitions(%s::timestamptz - '1 month'::interval, %s::timestamptz + '3 months'::interval)"
)
_names = itertools.count()


@contextlib.contextmanager
def stack(directory: Path) -> Iterator[Stack]:
    """Run the services until the block ends; the broker's files are in `directory`."""
    (directory / "kafka").mkdir()
    heap = role_defaults("kafka")["kafka_heap"]
    with (
        kafka_broker(directory / "kafka", java_options=[f"-Xms{heap}", f"-Xmx{heap}"]) as broker,
        cluster() as made,
        made.served(**database_settings()) as server,
    ):
        principal = f"User:{Principal.CONSUMER}"
        with broker.admin() as admin:
            admin.create_acls(
                [
                    ACL(principal, "*", ACLOperation.ALL, ACLPermissionType.ALLOW, ResourcePattern(kind, "*"))
                    for kind in _EVERYTHING
                ]
            )
        yield Stack(broker, server)


@contextlib.contextmanager
def route(services: Stack, directory: Path, name: str, partitions: int = PARTITIONS) -> Iterator[Route]:
    """Give a way a topic, a database with the months of the bars, and a directory; remove them when the block ends."""
    place = directory / f"{name}-{next(_names)}"
    place.mkdir()
    topic = services.broker.create_topic(partitions)
    try:
        with services.server.migrated_database() as database:
            database.query(_MONTHS, FIRST, FIRST)
            yield Route(topic, database, place)
    finally:
        services.broker.delete_topic(topic)


def database_settings() -> dict[str, object]:
    """Return the settings of PostgreSQL that bear on speed, as the role has them."""
    defaults, settings = role_defaults("postgresql"), role_vars("postgresql")["_postgresql_settings"]
    return {name: defaults.get(f"postgresql_{name}", settings[name]) for name in _SPEED} | _DURABLE
