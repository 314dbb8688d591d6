"""Keeps the executors' Python processes, which Spark ends after a minute in which they had no task.

New ones read their modules for a second or longer, and where a bar comes once a minute, each would wait for that.
"""

import logging
import threading
import time
from collections.abc import Callable

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from market_pulse_stream.failure import sentence
from market_pulse_stream.writer import NOTHING_SCHEMA, nothing

# Twice that is well below Spark's minute.
_QUIET_SECONDS = 20

_log = logging.getLogger(__name__)


def keep_warm(spark: SparkSession, quiet_seconds: Callable[[], float]) -> None:
    """Give the executors a task that stores nothing, now and whenever no batch was stored for a while.

    By a thread of its own, which waits in place of the driver where no executor takes it.
    """
    threading.Thread(target=_keep_warm, args=(spark, quiet_seconds), name="warmth", daemon=True).start()


def _keep_warm(spark: SparkSession, quiet_seconds: Callable[[], float]) -> None:
    while True:
        if quiet_seconds() >= _QUIET_SECONDS:
            try:
                tasks = spark.sparkContext.defaultParallelism
                spark.range(0, tasks, 1, tasks).mapInArrow(nothing, NOTHING_SCHEMA).collect()
            except (PySparkException, Py4JError) as error:
                # Whatever it is, a batch finds out, too.
                _log.info("no task that stores nothing was run: %s", sentence(error))
        time.sleep(_QUIET_SECONDS)
