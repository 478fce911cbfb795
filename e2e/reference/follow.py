#!/usr/bin/env python3
"""The reference reader for tests that read again and again: asked by a line, it tells what is new in each topic.

A request is a line of JSON, [[TOPIC, FORMAT], …]; the answer is a line a message, as consume.py prints them, and a line
{"end": true}. Each answer goes up to where the topics end for a read_committed reader, and the next one goes on there.
"""

import argparse
import json
import sys
import time
from types import SimpleNamespace

from confluent_kafka import Consumer, KafkaError, TopicPartition
from consume import Registry, told


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--registry", help="URL of the registry, for avro")
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS", help="fail after so long a silence")
    return parser.parse_args()


class Reader:
    """Knows how far each partition is read."""

    def __init__(self, options):
        self.options = options
        self.registry = Registry(
            SimpleNamespace(
                registry=options.registry,
                schema=False,
                registry_user=None,
                registry_ca=None,
                registry_certificate=None,
            )
        )
        self.consumer = Consumer(
            {
                "bootstrap.servers": options.bootstrap,
                "group.id": "reference",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                # A broker that was away is asked again soon.
                "reconnect.backoff.max.ms": 500,
                # That it is away is told by the silence.
                "log_level": 0,
            }
        )
        self.next = {}

    def partitions(self, topic):
        """None where there is no such topic yet."""
        found = self.consumer.list_topics(topic, timeout=self.options.timeout).topics[topic]
        if found.error and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            sys.exit(f"{topic}: {found.error}")
        return {(topic, number) for number in found.partitions}

    def read(self, formats):
        """Prints what is new."""
        unread = {place for topic in formats for place in self.partitions(topic)}
        self.consumer.assign([TopicPartition(*place, self.next.get(place, 0)) for place in unread])
        heard = time.monotonic()
        while unread:
            message = self.consumer.poll(0.5)
            if message is None or (message.error() and message.error().code() != KafkaError._PARTITION_EOF):
                if message is not None and not message.error().retriable():
                    sys.exit(str(message.error()))
                if time.monotonic() > heard + self.options.timeout:
                    sys.exit(f"silence for {self.options.timeout} s; no end of {sorted(unread)}")
                continue
            heard = time.monotonic()
            place = (message.topic(), message.partition())
            if message.error():
                # Behind it are only markers and what is not committed: it is read again, which does no harm.
                unread.discard(place)
                continue
            form = formats[message.topic()]
            print(json.dumps(told(message, SimpleNamespace(key_format=form, value_format=form), self.registry)))
            self.next[place] = message.offset() + 1
        self.consumer.unassign()
        print(json.dumps({"end": True}), flush=True)


def main():
    options = arguments()
    reader = Reader(options)
    for line in sys.stdin:
        reader.read(dict(json.loads(line)))


if __name__ == "__main__":
    main()
