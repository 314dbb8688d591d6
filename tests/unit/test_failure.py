from market_pulse_stream.failure import sentence

_TASK_FAILED = """[STREAM_FAILED] Query terminated with exception: An exception was raised by the Python Proxy.
  File "/opt/spark/python/lib/pyspark.zip/pyspark/errors/exceptions/captured.py", line 269, in deco
pyspark.errors.exceptions.captured.PythonException:
  An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/opt/market-pulse/venv/lib/python3.13/site-packages/market_pulse_stream/sink.py", line 61, in store
    raise PositionError(
market_pulse.errors.PositionError: topic market.bars partition 3: the batch begins at offset 5
\tat org.apache.spark.api.python.BasePythonRunner$ReaderIterator.handlePythonException(PythonRunner.scala:581)
Caused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):
"""


def test_the_innermost_cause_is_told() -> None:
    told = sentence(RuntimeError(_TASK_FAILED))
    assert told == "PositionError: topic market.bars partition 3: the batch begins at offset 5"


def test_a_cause_from_java_is_told() -> None:
    text = "Job aborted\nCaused by: org.apache.kafka.common.errors.TimeoutException: no answer within 60 s\n\tat x.y"
    assert sentence(RuntimeError(text)) == "TimeoutException: no answer within 60 s"


def test_an_error_without_a_trace_is_told_as_it_is_on_one_line() -> None:
    assert sentence(ValueError("connection refused\n\tIs the server running?")) == (
        "ValueError: connection refused Is the server running?"
    )
