"""The consumer: Spark Structured Streaming from Kafka into PostgreSQL, one transaction per partition and batch."""

import warnings

# No data passes through pandas here; Spark only looks at which release is installed.
warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
