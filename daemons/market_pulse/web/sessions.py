"""The database's side of the event loop: a few sessions of psycopg2's in threads, so that no statement stops a page."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - the driver's class has a function's name
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from market_pulse.keeper import open_session
from market_pulse.web.settings import WebSettings

# The account may have some more, for a restart while the old process still ends.
_SESSIONS = 4
# Statements that wait for a session; more than that is load that answers would come too late for.
_MOST_WAITING = 64
_APPLICATION = "market-pulse web"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class AwayError(Exception):
    """The database does not answer, or not in time; the message is meant for readers."""


class Database:
    """Runs functions of `market_pulse.web.database`, each in a transaction of its own that sees one snapshot."""

    def __init__(self, settings: WebSettings) -> None:
        """Connect when something is asked."""
        self._settings = settings
        self._threads = ThreadPoolExecutor(_SESSIONS, thread_name_prefix="database")
        self._own = threading.local()
        self._opened: set[Connection] = set()
        self._waiting = 0

    async def ask(
        self,
        question: Callable[Concatenate[Cursor, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Return what a function that takes a cursor returns.

        Raises:
            AwayError: the database does not answer, or too much waits for it already.
        """
        if self._waiting >= _MOST_WAITING:
            raise AwayError("the database is asked more than it answers; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: self.ask_here(question, *args, **kwargs)
            )
        finally:
            self._waiting -= 1

    def ask_here(
        self,
        question: Callable[Concatenate[Cursor, Parameters], Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Do so in this thread.

        Raises:
            AwayError: the database does not answer.
        """
        for is_last in (False, True):
            is_old = getattr(self._own, "session", None) is not None
            try:
                with self._session() as session, session.cursor() as cursor:
                    return question(cursor, *args, **kwargs)
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                self._forget()
                # A session of before a restart of the server's is told so by its first statement alone.
                if is_last or not is_old or error.pgcode == "57014":
                    raise AwayError(f"no answer from the database: {' '.join(str(error).split())}") from error
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """End the sessions."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for session in list(self._opened):
            with contextlib.suppress(psycopg2.Error):
                session.close()

    def _session(self) -> Connection:
        if getattr(self._own, "session", None) is None:
            password = self._settings.postgresql_web_password.get_secret_value()
            session = open_session(self._settings, password, _APPLICATION)
            session.set_session(isolation_level="REPEATABLE READ", readonly=True)
            self._own.session = session
            self._opened.add(session)
        found: Connection = self._own.session
        return found

    def _forget(self) -> None:
        session: Connection | None = getattr(self._own, "session", None)
        self._own.session = None
        if session is not None:
            self._opened.discard(session)
            with contextlib.suppress(psycopg2.Error):
                session.close()
