"""Sends bars one by one for the bench, as they would come; a program of its own, like `bench.feeder`.

It takes on standard input a line of the client's settings as JSON, and then for each part of a feed a line with the
fields of `bench.workload.Feed`, which it answers when all is written: when each record was sent, in seconds of the
clock that all processes of a machine share.
"""

import json
import sys
import time

from confluent_kafka import Producer

from bench.workload import Feed


def main() -> None:
    """Serve until standard input ends."""
    producer = Producer(json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        print(json.dumps(_send(producer, Feed(**json.loads(line)))), flush=True)


def _send(producer: Producer, feed: Feed) -> list[float]:
    # Made before the first is sent, so that what takes time is the sending.
    records = list(feed.sent())
    times, began = [], time.monotonic()
    for number, record in enumerate(records):
        if feed.rate:
            time.sleep(max(0, began + number / feed.rate - time.monotonic()))
            producer.poll(0)
        times.append(time.monotonic())
        producer.produce(feed.topic, record.value, record.key, record.partition)
    if left := producer.flush(120):
        sys.exit(f"{left} records are not written")
    return times


if __name__ == "__main__":
    main()
