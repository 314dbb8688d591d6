"""How the auditor, the upkeep and the web daemon reach the database, each by an account of its own."""

from abc import abstractmethod
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from pydantic import Field, SecretStr

from market_pulse.errors import StandbyError
from market_pulse.settings import ClockSettings, DatabaseSettings

_OPTIONS = "-c timezone=UTC -c client_min_messages=warning"
_DEAD_PEER: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}

_NOTE_RUN = """
INSERT INTO market.last_run (job, started_at, finished_at, market_time, sentence)
VALUES (%s, now(), clock_timestamp(), %s, %s)
ON CONFLICT ON CONSTRAINT last_run_pkey DO UPDATE SET
    started_at = excluded.started_at, finished_at = excluded.finished_at,
    market_time = excluded.market_time, sentence = excluded.sentence
"""


class AccountSettings(DatabaseSettings, ClockSettings):
    """An account of the database, and the market's clock."""

    exchange: str

    @property
    @abstractmethod
    def password(self) -> SecretStr:
        """The account's."""


class KeeperSettings(AccountSettings):
    """The account of the daily upkeep."""

    postgresql_keeper_password: SecretStr = Field(min_length=1)

    @property
    def password(self) -> SecretStr:
        """The keeper's."""
        return self.postgresql_keeper_password


def connect(settings: AccountSettings, application: str, **session_settings: str) -> Connection:
    """Open a session of an account, with other settings of PostgreSQL than the account's where some are given.

    Raises:
        StandbyError: the server is a standby, and the work is done where the primary is.
        psycopg2.OperationalError: the server does not answer or refuses.
    """
    session = open_session(settings, settings.password.get_secret_value(), application, **session_settings)
    if session.info.parameter_status("in_hot_standby") == "on":
        session.close()
        raise StandbyError("the server of this host is a standby")
    return session


def open_session(settings: DatabaseSettings, password: str, application: str, **session_settings: str) -> Connection:
    """Open a session in UTC as the settings' user, with other settings of PostgreSQL's where some are given.

    Raises:
        psycopg2.OperationalError: the server does not answer or refuses.
    """
    session: Connection = psycopg2.connect(
        host=settings.database_host,
        port=settings.database_port,
        sslmode="verify-full",
        sslrootcert=str(settings.database_authority),
        dbname=settings.database_name,
        user=settings.database_user,
        password=password,
        application_name=application,
        options=" ".join([_OPTIONS, *(f"-c {name}={value}" for name, value in session_settings.items())]),
        **_DEAD_PEER,
    )
    return session


def rows(cursor: Cursor, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    cursor.execute(query, values)
    return cursor.fetchall()


def note_run(cursor: Cursor, job: str, market_time: datetime, sentence: str) -> None:
    """Say that a job has succeeded, in the transaction that it ran in or ended with."""
    cursor.execute(_NOTE_RUN, (job, market_time, sentence))
