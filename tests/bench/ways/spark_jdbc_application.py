"""What `bench.ways.spark_jdbc` submits."""

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, from_json

_PRICES = ("open", "high", "low", "close")
_TEXTS = ("symbol", "interval", "source", "request_id")
_TIMES = ("bar_time", "fetched_at")
_SCHEMA = ", ".join(
    [f"`{name}` string" for name in (*_TEXTS, *_PRICES, "volume")]
    + [f"`{name}` timestamp" for name in _TIMES]
    + ["`is_final` boolean"]
)


def main(wish: dict[str, Any]) -> None:
    """Append batch by batch until the process is ended."""
    spark = SparkSession.builder.appName("bench").getOrCreate()

    def append(batch: DataFrame, _batch_id: int) -> None:
        batch.write.jdbc(wish["url"], wish["table"], "append", wish["database"])

    bar = col("bar")
    columns = [bar[name].alias(name) for name in (*_TEXTS, *_TIMES, "is_final")]
    columns += [bar[name].cast("decimal(20, 8)").alias(name) for name in _PRICES]
    columns += [bar["volume"].cast("bigint").alias("volume")]
    bars = spark.readStream.format("kafka").options(**wish["kafka"]).load()
    query = (
        bars.select(from_json(col("value").cast("string"), _SCHEMA).alias("bar"))
        .select(*columns)
        .writeStream.foreachBatch(append)
        .option("checkpointLocation", wish["checkpoint"])
        .start()
    )
    print("market-pulse-bench: started", flush=True)
    query.awaitTermination()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
