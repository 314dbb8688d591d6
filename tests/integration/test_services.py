from kafka import KafkaProducer

from integration.services.broker import Broker
from integration.services.database import Server


def test_broker_takes_a_record(broker: Broker, topic: str) -> None:
    producer = KafkaProducer(**broker.options, acks="all", enable_idempotence=True)
    try:
        acknowledged = producer.send(topic, key=b"IBM", value=b"{}").get(timeout=20)
    finally:
        producer.close()
    assert (acknowledged.topic, acknowledged.offset) == (topic, 0)


def test_databases_are_separate_and_gone_afterwards(postgresql: Server) -> None:
    with postgresql.empty_database() as first, postgresql.empty_database() as second:
        first.query("CREATE TABLE mark (n int)")
        assert second.query("SELECT to_regclass('mark')") == [(None,)]
    with postgresql.empty_database() as later:
        assert later.query("SELECT count(*) FROM pg_database WHERE datname LIKE 'test_%%'") == [(1,)]
