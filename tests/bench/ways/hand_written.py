"""A consumer as one writes it by hand: confluent-kafka, COPY into a staging table, upsert by the key, offsets."""

import contextlib
import json
from collections.abc import Iterator

from bench.clients import FETCH
from bench.tools import python_of, version_of
from bench.way import Route, Stack, Way, failure_of, plain_table
from integration.services.broker import password_of
from integration.services.database import PASSWORD
from integration.services.processes import running
from market_pulse.kafka_login import MECHANISM, Principal
from support.repository import ROOT
from support.waiting import eventually

_BATCH = 50_000


@contextlib.contextmanager
def hand_written(stack: Stack, route: Route) -> Iterator[Way]:
    """Run it as one process."""
    table = plain_table(route.database)
    login = stack.broker.login(Principal.CONSUMER)
    wish = {
        "batch": _BATCH,
        "table": table,
        "topic": route.topic,
        "database": {
            "host": stack.server.host,
            "port": stack.server.port,
            "dbname": route.database.name,
            "user": stack.server.accounts["writer"],
            "password": PASSWORD,
            "sslmode": "verify-full",
            "sslrootcert": str(stack.server.authority),
        },
        "client": FETCH
        | {
            "bootstrap.servers": login.servers,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(login.authority),
            "sasl.mechanism": MECHANISM,
            "sasl.username": login.principal,
            "sasl.password": password_of(Principal.CONSUMER),
            "group.id": "bench-hand-written",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        },
    }
    settings = route.directory / "settings.json"
    settings.write_text(json.dumps(wish))
    log = route.directory / "consumer.log"
    folders = ":".join(str(ROOT / folder) for folder in ("daemons", "spark_app", "tests"))
    program = ROOT / "tests" / "bench" / "ways" / "hand_written_consumer.py"
    with running([python_of("confluent"), program, settings], log=log, env={"PYTHONPATH": folders}) as process:

        def is_reading() -> bool:
            assert process.poll() is None, log.read_text()
            return "assigned" in log.read_text()

        eventually(is_reading, within=60, what="the start of the hand-written consumer")
        told = {"confluent-kafka": version_of("confluent", "confluent-kafka"), "batch": str(_BATCH)} | {
            name: str(value) for name, value in FETCH.items()
        }
        yield Way("hand-written consumer", told, table, failure=failure_of(process, log))
