"""What a sink has left in a database, to be compared with what one leaves that nobody disturbs."""

from dataclasses import replace

from integration.services.database import Database, Server
from integration.services.records import mixed_batches, task
from market_pulse_stream import scratch
from market_pulse_stream.sink import store

# Columns that say when and by which run are all that may differ.
_CONTENTS = {
    "bar": "*",
    "bar_revision": "symbol, interval, bar_time, open::text, high::text, low::text, close::text, volume, is_final,"
    " source, request_id, fetched_at, partition, record_offset",
    "latest_bar": "*",
    "answer": "symbol, interval, asked_at, request_id, row_count, told",
    "quarantine": "partition, record_offset, reason, detail, encode(key, 'hex'), encode(value, 'hex')",
    "batch": "from_offset, until_offset, received, stored, unchanged, superseded, quarantined, answers",
    "stream_position": "next_offset, log_epoch",
}


def contents(database: Database) -> dict[str, list[str]]:
    return {
        table: sorted(map(str, database.query(f"SELECT {columns} FROM market.{table}")))
        for table, columns in _CONTENTS.items()
    }


def undisturbed(postgresql: Server, batches: int) -> tuple[str, dict[str, list[str]]]:
    """Return the hash and the contents of a database into which nobody killed the sink."""
    with postgresql.migrated_database() as reference:
        first = task(reference)
        connection = reference.connect("writer")
        for number, records in enumerate(mixed_batches(batches)):
            store(connection, replace(first, batch_id=number), records)
        connection.close()
        keeper = reference.connect("keeper")
        found = scratch.row_hash(keeper), contents(reference)
        keeper.close()
        return found


def state(database: Database) -> tuple[str, dict[str, list[str]]]:
    keeper = database.connect("keeper")
    found = scratch.row_hash(keeper), contents(database)
    keeper.close()
    return found
