"""Sessions of the superuser, over a socket: in the live server and in the scratch cluster alike."""

import contextlib
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.backup.settings import ServerSettings

# Rows are compared as text, so both servers must write them in one way, whatever theirs is.
_OPTIONS = "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex"
_CONNECT_SECONDS = 10


def connect(socket: Path, port: int, database: str) -> Connection:
    """Open a session; the server lets in its own operating-system user without a password.

    Raises:
        psycopg2.OperationalError: the server does not answer or refuses.
    """
    session: Connection = psycopg2.connect(
        host=str(socket),
        port=port,
        dbname=database,
        user="postgres",
        application_name="market-pulse backup",
        connect_timeout=_CONNECT_SECONDS,
        options=_OPTIONS,
    )
    return session


def is_standby(settings: ServerSettings) -> bool:
    """Tell whether the server is a standby, of which the backups are made where its primary is.

    Raises:
        psycopg2.OperationalError: the server does not answer or refuses.
    """
    session = connect(settings.database_socket, settings.database_port, settings.database_name)
    with contextlib.closing(session):
        return session.info.parameter_status("in_hot_standby") == "on"
