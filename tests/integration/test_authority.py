"""Every session is with our own server, or it is none: each way in asks for the authority that vouches for it."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
import trustme
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name

from integration.services.command import credentials_in, settings_of
from integration.services.database import PASSWORD, Database
from market_pulse import keeper
from market_pulse.cli import database as sessions
from market_pulse_stream import postgresql

Open = Callable[[Database, Path], Connection]


def as_the_sink(database: Database, authority: Path) -> Connection:
    server = database.server
    target = postgresql.Database(server.host, server.port, database.name, server.accounts["writer"], str(authority))
    return target.connect("test")


def as_the_keeper(database: Database, authority: Path) -> Connection:
    settings = keeper.KeeperSettings(
        **database.settings("keeper") | {"database_authority": authority},
        exchange="XNYS",
        postgresql_keeper_password=PASSWORD,
    )
    return keeper.connect(settings, "test")


def as_the_command(database: Database, authority: Path) -> Connection:
    settings = settings_of(database).model_copy(update={"database_authority": authority})
    return sessions.connect(settings, credentials=Path(os.environ["CREDENTIALS_DIRECTORY"]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials of every account, where units have them."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return credentials_in(tmp_path, "writer", "monitor")


@pytest.mark.parametrize("connect", [as_the_sink, as_the_keeper, as_the_command])
def test_a_session_is_encrypted_and_with_a_server_that_the_authority_vouches_for(
    database: Database, folder: Path, connect: Open
) -> None:
    with contextlib.closing(connect(database, database.server.authority)) as session:
        assert session.info.ssl_in_use
    foreign = folder / "foreign.crt"
    trustme.CA().cert_pem.write_to_path(foreign)
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        connect(database, foreign)
