#!/usr/bin/env python3
"""The reference reader: a topic as a read_committed consumer that is not Afterbay's sees it, one JSON line a message.

Reads topics from the beginning to where they end (or so many messages, or on and on). Avro is read with the writer's
schema from the registry and without logical types, so that nothing is lost: bytes and fixed are {"bytes": hex}, NaN and
infinities are words.
"""

import argparse
import base64
import io
import json
import math
import struct
import sys
import time

import fastavro
import requests
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

FORMATS = ["json", "avro", "text", "raw"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True, action="append", dest="topics", help="may be given again")
    parser.add_argument("--key-format", choices=FORMATS, default="json")
    parser.add_argument("--value-format", choices=FORMATS, default="json")
    parser.add_argument("--registry", help="URL of the registry, for avro")
    parser.add_argument("--registry-user", metavar="USER:PASSWORD")
    parser.add_argument("--registry-ca", metavar="FILE", help="the authority that the registry's certificate is from")
    parser.add_argument("--registry-certificate", metavar="FILE", help="the client certificate for the registry")
    parser.add_argument("--registry-key", metavar="FILE", help="its key")
    parser.add_argument("--count", type=int, help="end after so many messages, also if they are yet to come")
    parser.add_argument("--timeout", type=float, default=20, metavar="SECONDS", help="fail after so long a silence")
    parser.add_argument("--follow", action="store_true", help="never end")
    parser.add_argument("--config", action="append", default=[], metavar="NAME=VALUE", help="a setting of the consumer")
    parser.add_argument("--schema", action="store_true", help="print the Avro schemas too, each before its first use")
    return parser.parse_args()


class Registry:
    """Schemas by their ids, without logical types."""

    def __init__(self, options):
        self.url, self.show, self.known = options.registry, options.schema, {}
        self.session = requests.Session()
        # Proxies and authorities of the environment are not for a registry on loopback.
        self.session.trust_env = False
        if options.registry_user:
            self.session.auth = tuple(options.registry_user.split(":", 1))
        if options.registry_ca:
            self.session.verify = options.registry_ca
        if options.registry_certificate:
            self.session.cert = (options.registry_certificate, options.registry_key)

    def schema(self, number):
        if number not in self.known:
            answer = self.session.get(f"{self.url}/schemas/ids/{number}", timeout=10)
            answer.raise_for_status()
            schema = json.loads(answer.json()["schema"])
            if self.show:
                print(json.dumps({"id": number, "schema": schema}))
            self.known[number] = fastavro.parse_schema(plain(schema))
        return self.known[number]


def plain(schema):
    if isinstance(schema, dict):
        return {name: plain(value) for name, value in schema.items() if name != "logicalType"}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


def lossless(value):
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: lossless(part) for name, part in value.items()}
    return [lossless(part) for part in value] if isinstance(value, list) else value


def decode(form, payload, registry):
    if payload is None:
        return None
    if form == "json":
        return json.loads(payload)
    if form == "text":
        return payload.decode()
    if form == "raw":
        return base64.b64encode(payload).decode()
    magic, number = struct.unpack(">bI", payload[:5])
    if magic != 0:
        sys.exit(f"not in the registry's framing: {payload[:5]!r}")
    body = io.BytesIO(payload[5:])
    value = fastavro.schemaless_reader(body, registry.schema(number))
    if body.read():
        sys.exit(f"bytes are left behind a value of schema {number}")
    return lossless(value)


def told(message, options, registry):
    """A message as it is printed."""
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "key": decode(options.key_format, message.key(), registry),
        "value": decode(options.value_format, message.value(), registry),
        "headers": [(name, None if value is None else value.decode()) for name, value in message.headers() or []],
    }


def partitions(consumer, topics):
    """All partitions of the topics."""
    found = set()
    for topic in topics:
        metadata = consumer.list_topics(topic, timeout=20).topics[topic]
        if metadata.error:
            sys.exit(f"{topic}: {metadata.error}")
        found.update((topic, number) for number in metadata.partitions)
    return found


def await_marks(consumer, settings, partitions):
    """Waits until what is committed is seen: a broker confirms a commit before it has marked all partitions. What stays
    open for longer than a moment is nobody's commit."""
    uncommitted = Consumer({**settings, "isolation.level": "read_uncommitted"})
    # Looks and not seconds: a machine that stands still is not to hide what is committed.
    looks = 60
    for topic, number in partitions:
        partition = TopicPartition(topic, number)
        end = uncommitted.get_watermark_offsets(partition, timeout=20)[1]
        while consumer.get_watermark_offsets(partition, timeout=20)[1] < end and looks > 0:
            time.sleep(0.05)
            looks -= 1
    uncommitted.close()


def main():
    options = arguments()
    registry = Registry(options)
    settings = {
        "bootstrap.servers": options.bootstrap,
        "group.id": "reference",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
    settings.update(setting.split("=", 1) for setting in options.config)
    consumer = Consumer(settings)
    unread = partitions(consumer, options.topics)
    if not options.follow:
        # Before the first fetch: a question to the broker waits behind a fetch that awaits messages.
        await_marks(consumer, settings, unread)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in unread])
    count = 0
    # A number of messages that is asked for is awaited beyond the ends of today.
    while options.follow or (unread if options.count is None else count < options.count):
        message = consumer.poll(options.timeout)
        if message is None:
            if options.follow:
                continue
            sys.exit(f"silence for {options.timeout} s after {count} messages; no end of {sorted(unread)}")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            unread.discard((message.topic(), message.partition()))
            continue
        print(json.dumps(told(message, options, registry), ensure_ascii=False), flush=options.follow)
        count += 1
    consumer.close()


if __name__ == "__main__":
    main()
