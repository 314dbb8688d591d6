"""Records of a partition as Spark hands them over, column by column; pure."""

from collections.abc import Sequence

import pyarrow as pa

from market_pulse_stream.decode import Record, record_time

# What Kafka gives of a record; the time in milliseconds since 1970, and -1 where it is not known.
COLUMNS = pa.schema(
    [("offset", pa.int64()), ("key", pa.binary()), ("value", pa.binary()), ("milliseconds", pa.int64())]
)


def columns(records: Sequence[Record]) -> pa.RecordBatch:
    """Return records of a partition as Spark hands them over, column by column: offset, key, value, milliseconds."""
    times = [-1 if record.appended_at is None else int(record.appended_at.timestamp() * 1000) for record in records]
    told = [[getattr(record, name) for record in records] for name in COLUMNS.names[:3]]
    return pa.RecordBatch.from_arrays(list(map(pa.array, [*told, times], COLUMNS.types)), schema=COLUMNS)


def rows(records: pa.RecordBatch) -> list[Record]:
    """Return the records of such columns."""
    offset, key, value, milliseconds = (column.to_pylist() for column in records.columns)
    return list(map(Record, offset, key, value, map(record_time, milliseconds)))
