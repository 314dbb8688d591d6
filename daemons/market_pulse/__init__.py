"""Market bars from a vendor's API into Kafka, and on into PostgreSQL, with nothing lost and nothing doubled."""
