"""A month of bars as a Parquet file, exact to the last digit and microsecond, and read back."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from market_pulse.upkeep.content import Content, Tally

_PRICE = pa.decimal128(20, 8)
_INSTANT = pa.timestamp("us", tz="UTC")
_BAR = (
    ("symbol", pa.string()),
    ("interval", pa.string()),
    ("bar_time", _INSTANT),
    ("open", _PRICE),
    ("high", _PRICE),
    ("low", _PRICE),
    ("close", _PRICE),
    ("volume", pa.int64()),
    ("is_final", pa.bool_()),
    ("source", pa.string()),
    ("request_id", pa.string()),
    ("fetched_at", _INSTANT),
)
_TELLING = (
    *_BAR,
    ("recorded_at", _INSTANT),
    ("partition", pa.int32()),
    ("record_offset", pa.int64()),
)
# By table: the columns of the file, in the order in which market.content_of takes them.
SCHEMAS = {"bar": pa.schema(_BAR), "bar_revision": pa.schema(_TELLING)}
_ROWS_AT_ONCE = 20_000
# What a bar is known by, and what says which of its tellings is the newer one.
_KEY = ("symbol", "interval", "bar_time")
_TELLS = ("fetched_at", "request_id")


def write(path: Path, parent: str, batches: Iterator[Sequence[Sequence[object]]]) -> None:
    """Write rows, given in batches, to a file that is on disk when this returns.

    Raises:
        pyarrow.ArrowInvalid: a price has more digits than the file keeps.
    """
    schema = SCHEMAS[parent]
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_table(_table(batch, schema))
        file.flush()
        os.fsync(file.fileno())


def content(path: Path) -> Content:
    """Read a file back, and return what it holds."""
    tally = Tally()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            tally.add(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return tally.content()


def write_newest(paths: Sequence[Path], out: BinaryIO) -> None:
    """Write the bars of a month's parts as CSV with a header, each as it was told last."""
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    newest = table.sort_by([*((name, "ascending") for name in _KEY), *((name, "descending") for name in _TELLS)])
    key = newest.select(_KEY)
    is_other = [pc.not_equal(key[name][1:], key[name][:-1]) for name in _KEY]
    is_first = pa.concat_arrays([pa.array([True]), *reduce(pc.or_, is_other).chunks]) if len(newest) else []
    newest = newest.filter(is_first)
    # Arrow writes no decimals.
    texts = pa.schema([field.with_type(pa.string()) if field.type == _PRICE else field for field in newest.schema])
    csv.write_csv(newest.cast(texts), out)


def sha256(path: Path) -> str:
    """Return the hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(rows: Sequence[Sequence[object]], schema: Any) -> Any:
    columns = zip(*rows, strict=True)
    return pa.table(
        [pa.array(map(_exact, column), field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _exact(value: object) -> object:
    # More zeros after the point than the column has are no other number.
    return value.normalize() if isinstance(value, Decimal) else value
