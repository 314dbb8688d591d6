"""A function over Arrow that Spark is told once; PySpark tells it anew for each query, by some forty calls to Java.

What differs from job to job, as a writer with the offsets of its batch, travels as a property of the job.
"""

import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame, Row
from pyspark.sql.functions import col
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StructType
from pyspark.util import PythonEvalType

Work = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]

_PROPERTY = "market-pulse.work"


class ToldOnce:
    """Runs work over queries of the same columns, as `DataFrame.mapInArrow` does."""

    def __init__(self, columns: Sequence[str], schema: StructType) -> None:
        """Tell Spark, whose session is open, which columns the work takes, and what it returns."""
        # PySpark's own use alone, which its types leave out.
        function = pandas_udf(_work, schema, PythonEvalType.SQL_MAP_ARROW_ITER_UDF)  # type: ignore[call-overload]
        self._column = function(*map(col, columns))

    def collect(self, records: DataFrame, work: Work) -> list[Row]:
        """Run work in the tasks of a query, and return its rows; what `work` is made of must be known to the tasks."""
        spark = records.sparkSession
        spark.sparkContext.setLocalProperty(_PROPERTY, b64encode(pickle.dumps(work)).decode())
        # The public method takes the function itself alone.
        told = records._jdf.mapInArrow(self._column._jc, False, None)  # noqa: FBT003, SLF001
        return DataFrame(told, spark).collect()


def _work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    task = TaskContext.get()
    told = task and task.getLocalProperty(_PROPERTY)
    if not told:
        raise RuntimeError(f"the job has no property {_PROPERTY}")
    # The driver wrote it, as it writes what Spark unpickles in every Python task.
    yield from pickle.loads(b64decode(told))(batches)  # noqa: S301
