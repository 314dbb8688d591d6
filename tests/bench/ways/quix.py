"""Quix Streams: its application, with its PostgreSQL sink, upserting by the key."""

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
from market_pulse_stream.decode import BAR_COLUMNS
from support.repository import ROOT
from support.waiting import eventually

_PROCESSES = 2
_APPLICATION = {"commit_interval": 0.5, "commit_every": 20_000, "consumer_poll_timeout": 0.05}


@contextlib.contextmanager
def quix(stack: Stack, route: Route) -> Iterator[Way]:
    """Run it as two processes, for one keeps a single core busy."""
    table = plain_table(route.database)
    role = stack.server.accounts["writer"]
    # The sink makes its schema though it exists, and PostgreSQL asks for the right to do so first.
    route.database.query(f"GRANT CREATE ON DATABASE {route.database.name} TO {role}")
    login = stack.broker.login(Principal.CONSUMER)
    schema, name = table.split(".")
    wish = {
        "topic": route.topic,
        "columns": BAR_COLUMNS,
        "connection": {
            "bootstrap_servers": login.servers,
            "security_protocol": "sasl_ssl",
            "sasl_mechanism": MECHANISM,
            "sasl_username": login.principal,
            "sasl_password": password_of(Principal.CONSUMER),
            "ssl_ca_location": str(login.authority),
        },
        "application": _APPLICATION
        | {
            "consumer_group": "bench-quix",
            "auto_offset_reset": "earliest",
            # Tells when it has its partitions, and otherwise little more.
            "loglevel": "DEBUG",
            "auto_create_topics": False,
            "use_changelog_topics": False,
            "state_dir": str(route.directory / "state"),
            "consumer_extra_config": FETCH | {"isolation.level": "read_committed"},
        },
        "sink": {
            "host": stack.server.host,
            "port": stack.server.port,
            "dbname": route.database.name,
            "user": role,
            "password": PASSWORD,
            "sslmode": "verify-full",
            "sslrootcert": str(stack.server.authority),
            "schema_name": schema,
            "table_name": name,
            "schema_auto_update": False,
            "include_metadata": False,
            "primary_key_columns": ["symbol", "interval", "bar_time"],
            "upsert_on_primary_key": True,
        },
    }
    settings = route.directory / "settings.json"
    settings.write_text(json.dumps(wish))
    program = ROOT / "tests" / "bench" / "ways" / "quix_application.py"
    logs = [route.directory / f"application-{number}.log" for number in range(_PROCESSES)]
    with contextlib.ExitStack() as started:
        command = [python_of("quix"), program, settings]
        failures = [failure_of(started.enter_context(running(command, log=log)), log) for log in logs]

        def failure() -> str:
            return "".join(has_ended() for has_ended in failures)

        def is_reading() -> bool:
            assert not failure(), failure()
            return all("assigning partitions" in log.read_text() for log in logs)

        eventually(is_reading, within=60, what="the start of Quix Streams")
        told = {"version": version_of("quix", "quixstreams"), "processes": _PROCESSES} | _APPLICATION | FETCH
        yield Way(
            "Quix Streams, PostgreSQL sink", {name: str(value) for name, value in told.items()}, table, failure=failure
        )
