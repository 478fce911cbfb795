#!/usr/bin/env python3
"""The reference reader: a topic as a read_committed consumer that is not Afterbay's sees it, one JSON line a message.

Reads from the beginning to where the topic ends when it starts. Avro is read with the writer's schema from the registry
and without logical types, so that nothing is lost: bytes and fixed are {"bytes": hex}, NaN and infinities are words.
"""

import argparse
import base64
import io
import json
import math
import struct
import sys

import fastavro
import requests
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

FORMATS = ["json", "avro", "text", "raw"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--key-format", choices=FORMATS, default="json")
    parser.add_argument("--value-format", choices=FORMATS, default="json")
    parser.add_argument("--registry", help="URL of the registry, for avro")
    parser.add_argument("--config", action="append", default=[], metavar="NAME=VALUE", help="a setting of the consumer")
    parser.add_argument("--schema", action="store_true", help="print the Avro schemas too, each before its first use")
    return parser.parse_args()


class Registry:
    """Schemas by their ids, without logical types."""

    def __init__(self, url, show):
        self.url, self.show, self.known = url, show, {}

    def schema(self, number):
        if number not in self.known:
            answer = requests.get(f"{self.url}/schemas/ids/{number}", timeout=10)
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


def main():
    options = arguments()
    registry = Registry(options.registry, options.schema)
    settings = {
        "bootstrap.servers": options.bootstrap,
        "group.id": "reference",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
    settings.update(setting.split("=", 1) for setting in options.config)
    consumer = Consumer(settings)
    topic = consumer.list_topics(options.topic, timeout=20).topics[options.topic]
    if topic.error:
        sys.exit(f"{options.topic}: {topic.error}")
    unread = set(topic.partitions)
    consumer.assign([TopicPartition(options.topic, number, OFFSET_BEGINNING) for number in unread])
    while unread:
        message = consumer.poll(20)
        if message is None:
            sys.exit(f"no end of partitions {sorted(unread)} of {options.topic} in time")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            unread.discard(message.partition())
            continue
        told = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": message.timestamp()[1],
            "key": decode(options.key_format, message.key(), registry),
            "value": decode(options.value_format, message.value(), registry),
            "headers": [(name, value.decode()) for name, value in message.headers() or []],
        }
        print(json.dumps(told, ensure_ascii=False))
    consumer.close()


if __name__ == "__main__":
    main()
