"""The sentence in a failed query's pages of Java and Python stack traces. Pure."""

import re

_KINDS = "Error|Exception|Violation|InsufficientPrivilege|UndefinedTable|UndefinedColumn|DiskFull|LockNotAvailable"
# The last line of a Python traceback or a Java "Caused by": a dotted class name that ends as errors do, and a message.
_RAISED = re.compile(rf"^(?:Caused by: )?(?:[\w$]+\.)*(\w*(?:{_KINDS})): (.+)$", re.MULTILINE)
_WRAPPERS = {"PythonException", "Py4JJavaError", "Py4JException", "SparkException", "StreamingQueryException"}
_LONGEST = 1000


def sentence(error: BaseException) -> str:
    """Return the innermost cause of an error that came through Spark, as one line."""
    causes = [(kind, message) for kind, message in _RAISED.findall(str(error)) if kind not in _WRAPPERS]
    kind, message = causes[0] if causes else (type(error).__name__, str(error))
    return f"{kind}: {' '.join(message.split())}"[:_LONGEST]
