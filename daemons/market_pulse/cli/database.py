"""How the control command connects to the database: as the monitor, or as an account that may do more."""

import enum
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from market_pulse.cli.settings import CREDENTIALS, CliSettings
from market_pulse.errors import SettingsError

CONNECT_SECONDS = 5
QUICK_SECONDS = 5


class Account(enum.StrEnum):
    """Who asks; the value is the account's name in the inventory and in its credential's."""

    MONITOR = "monitor"
    WRITER = "writer"
    KEEPER = "keeper"


_HOMES = {
    Account.MONITOR: "every host that the playbook has set up",
    Account.WRITER: "the consumer's host and those of Spark's workers",
    Account.KEEPER: "the database's host",
}


def connect(
    settings: CliSettings,
    account: Account = Account.MONITOR,
    *,
    seconds: int = QUICK_SECONDS,
    credentials: Path = CREDENTIALS,
    host: str | None = None,
) -> Connection:
    """Open a session in UTC whose statements, and pauses between them in a transaction, last at most `seconds`.

    It is with the primary, or with the given host, whatever that is.

    Raises:
        SettingsError: the account's credential is not on this host; the message says where it is.
        psycopg2.OperationalError: the server does not answer or refuses.
    """
    patience = f"-c statement_timeout={seconds}s -c idle_in_transaction_session_timeout={seconds}s"
    session: Connection = psycopg2.connect(
        host=host or settings.database_host,
        port=settings.database_port,
        # Not read-write, which the monitor's sessions are not by themselves.
        target_session_attrs="any" if host else "primary",
        sslmode="verify-full",
        sslrootcert=str(settings.database_authority),
        dbname=settings.database_name,
        user=settings.database_user if account is Account.MONITOR else f"market_pulse_{account}",
        password=_password(account, credentials),
        application_name="market-pulse control command",
        connect_timeout=CONNECT_SECONDS,
        options=f"{patience} -c timezone=UTC",
    )
    return session


def _password(account: Account, credentials: Path) -> str:
    path = credentials / f"mp_postgresql_{account}_password"
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist: this command connects as the {account} and runs on {_HOMES[account]}"
        ) from None
    except PermissionError:
        raise SettingsError(f"{path} is readable by root alone: use sudo") from None
