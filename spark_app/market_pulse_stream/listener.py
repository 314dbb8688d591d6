"""A listener to a query that costs little: what a batch did comes from Java in one call.

PySpark's own asks Java for each field, some hundreds of calls for each batch: a third of what the driver computed.
"""

import json
from typing import cast

from py4j.java_gateway import JavaObject, JVMView
from pyspark import SparkContext
from pyspark.sql.streaming.listener import JStreamingQueryListener, QueryProgressEvent, StreamingQueryListener


class QueryListener(StreamingQueryListener):
    """The base of a listener; what it is told is the same."""

    @property
    def _jlistener(self) -> JavaObject:
        """Return what `addListener` gives to Java."""
        jvm = cast("JVMView", SparkContext._jvm)  # noqa: SLF001
        return jvm.PythonStreamingQueryListenerWrapper(_InOneCall(self))


class _InOneCall(JStreamingQueryListener):
    def onQueryProgress(self, jevent: JavaObject) -> None:  # noqa: N802 - Spark's name
        told = json.loads(jevent.progress().json())
        self.pylistener.onQueryProgress(QueryProgressEvent.fromJson({"progress": told}))
