"""Fills a topic for the bench, in one transaction each time; a program of its own, for its client is not the product's.

It takes on standard input a line of the client's settings as JSON; then for each round a line that says
``{"topic": …}`` and the fields of `bench.workload.Load`, which it answers when all is written, and an empty line, at
which it commits, and answers when that is done.
"""

import json
import sys

from confluent_kafka import Producer

from bench.workload import Kind, Load


def main() -> None:
    """Serve until standard input ends."""
    producer = Producer(json.loads(sys.stdin.readline()))
    producer.init_transactions(60)
    for line in sys.stdin:
        wish = json.loads(line)
        producer.begin_transaction()
        topic, kind = wish.pop("topic"), Kind(wish.pop("kind"))
        _fill(producer, topic, Load(kind, **wish))
        print("filled", flush=True)
        sys.stdin.readline()
        producer.commit_transaction(60)
        print("committed", flush=True)


def _fill(producer: Producer, topic: str, load: Load) -> None:
    for sent in load.sent():
        while True:
            try:
                producer.produce(topic, sent.value, sent.key, sent.partition)
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(120):
        sys.exit(f"{left} records are not written")


if __name__ == "__main__":
    main()
