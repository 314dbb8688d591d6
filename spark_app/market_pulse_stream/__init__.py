"""The consumer: Spark Structured Streaming from Kafka into PostgreSQL, one transaction per partition and batch."""
