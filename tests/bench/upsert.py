"""The upsert that one writes by hand, of whom the limits and the hand-written consumer are made: text of SQL, pure."""

from market_pulse_stream.decode import BAR_COLUMNS

COLUMNS = ", ".join(BAR_COLUMNS)
KEY = ("symbol", "interval", "bar_time")
CHANGES = ", ".join(f"{name} = excluded.{name}" for name in BAR_COLUMNS if name not in KEY)
# Of a bar that is told twice in a batch, the newest telling.
NEWEST = f"SELECT DISTINCT ON ({', '.join(KEY)}) {COLUMNS} FROM staged ORDER BY {', '.join(KEY)}, fetched_at DESC"
COPY_STAGED = f"COPY staged ({COLUMNS}) FROM STDIN"


def stage(table: str) -> str:
    """Return the statement that makes a session's staging table, of the columns of a table."""
    return f"CREATE TEMPORARY TABLE staged ON COMMIT DELETE ROWS AS SELECT {COLUMNS} FROM {table} WITH NO DATA"


def upsert(table: str) -> str:
    """Return the statement that puts what is staged into a table, whose key is a bar's, unless it has newer."""
    return (
        f"INSERT INTO {table} AS bar ({COLUMNS}) {NEWEST}"
        f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {CHANGES} WHERE bar.fetched_at < excluded.fetched_at"
    )
