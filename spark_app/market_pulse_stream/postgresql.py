"""Sessions in PostgreSQL: how they are opened, and which errors pass by themselves."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.errors import SettingsError

_CREDENTIAL = "mp_postgresql_writer_password"
# Below the unit's WatchdogSec, so that a lock or a dead peer ends as an error with a name, not as a restart.
_OPTIONS = (
    "-c timezone=UTC -c client_min_messages=warning "
    "-c lock_timeout=20s -c statement_timeout=50s -c idle_in_transaction_session_timeout=60s"
)
_DEAD_PEER: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# Connection lost, server going down or starting, serialization failure or deadlock, a lock that another held for too
# long: trying again is the cure. A statement that took too long or was cancelled (57014) would take as long again: that
# ends the consumer, and systemd's restart is its other try.
_TRANSIENT = ("08", "57P", "40", "55P03")


@dataclass(frozen=True)
class Database:
    """Where the bars are stored; no secret, because it travels to the executors inside Spark's tasks.

    `authority` is the path, the same on every host, of the authority that vouches for the server. `host` may be
    several, separated by commas: the one that takes writes is meant.
    """

    host: str
    port: int
    name: str
    user: str
    authority: str

    def connect(self, application: str) -> Connection:
        """Open a session, with the password from this process's credentials.

        Raises:
            SettingsError: there is no such credential.
            psycopg2.OperationalError: the server does not answer or refuses.
        """
        session: Connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            target_session_attrs="primary",
            sslmode="verify-full",
            sslrootcert=self.authority,
            dbname=self.name,
            user=self.user,
            password=_password(),
            application_name=application,
            options=_OPTIONS,
            **_DEAD_PEER,
        )
        return session


def is_transient(error: BaseException) -> bool:
    """Tell whether the same transaction may succeed when tried again."""
    if not isinstance(error, psycopg2.Error):
        return False
    if error.pgcode is None:
        # The driver's own errors carry no SQLSTATE; these two classes are those about the connection.
        return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    return error.pgcode.startswith(_TRANSIENT)


def _password() -> str:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise SettingsError(f"CREDENTIALS_DIRECTORY is not set; the unit hands over {_CREDENTIAL} by LoadCredential=")
    try:
        return (Path(directory) / _CREDENTIAL).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"credential {_CREDENTIAL} cannot be read: {error.strerror}") from error
