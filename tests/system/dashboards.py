"""Two hundred open dashboards on an analyst's computer, behind a pool of connections as a gateway has one.

A program of its own: ``dashboards.py SECONDS CONNECTIONS`` with libpq's variables. Each asks the change marker once a
second, and what its page shows when that is another one; at the end it prints, as JSON, how many pages were refreshed,
how many seconds the slowest took, and what failed.
"""

import json
import queue
import sys
import threading
import time

import psycopg2
import psycopg2.extensions

DASHBOARDS = 200
_MARKER = "SELECT version FROM bi.change_marker"
_PAGE = (
    "SELECT symbol, close, is_stale FROM bi.latest_bar",
    "SELECT * FROM bi.freshness",
    """SELECT ts_exchange, open, high, low, close, volume FROM bi.bar WHERE symbol = 'IBM'
    AND trading_date = (SELECT max(trading_date) FROM bi.latest_bar)""",
)


class Dashboard(threading.Thread):
    """One page that refreshes itself until an end."""

    def __init__(self, pool: "queue.Queue[psycopg2.extensions.connection]", end: float) -> None:
        """Take the connections that all share, and until when to go on, on the monotonic clock."""
        super().__init__()
        self._pool = pool
        self._end = end
        self.refreshed = 0
        self.slowest = 0.0
        self.failed: str | None = None

    def run(self) -> None:
        """Ask once a second."""
        version = None
        try:
            while time.monotonic() < self._end:
                began = time.monotonic()
                if (newest := self._ask(_MARKER)) != version:
                    for statement in _PAGE:
                        self._ask(statement)
                    version, self.refreshed = newest, self.refreshed + 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(max(0.0, began + 1 - time.monotonic()))
        except psycopg2.Error as error:
            self.failed = str(error)

    def _ask(self, statement: str) -> object:
        connection = self._pool.get()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall()
        finally:
            self._pool.put(connection)
        return rows


def main(seconds: float, connections: int) -> None:
    """Open the connections and the dashboards, and tell what came of them."""
    pool: queue.Queue[psycopg2.extensions.connection] = queue.Queue()
    for _ in range(connections):
        connection = psycopg2.connect(connect_timeout=10)
        connection.autocommit = True
        pool.put(connection)
    dashboards = [Dashboard(pool, time.monotonic() + seconds) for _ in range(DASHBOARDS)]
    for one in dashboards:
        one.start()
    for one in dashboards:
        one.join()
    told = {
        "refreshed": [one.refreshed for one in dashboards],
        "slowest": max(one.slowest for one in dashboards),
        "failed": sorted({one.failed for one in dashboards if one.failed}),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
