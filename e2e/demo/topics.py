"""The topics: read as a reader of committed messages does, and taken away again."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import requests
from confluent_kafka.admin import AdminClient

from shop import lsn, rig

REPOSITORY = Path(__file__).resolve().parents[2]
FORMATS = {"orders": "json", "customers": "avro"}
PROGRESS = "_afterbay-progress-default-default.events"
POSITION = "afterbay-position"


def consumer(topic):
    """The command that reads a topic from its beginning; also for people."""
    registry = ["--registry", rig("REGISTRY")] if FORMATS[topic] == "avro" else []
    return [
        os.path.relpath(sys.executable),
        "e2e/reference/consume.py",
        *("--bootstrap", rig("BROKER"), "--topic", topic),
        *("--key-format", FORMATS[topic], "--value-format", FORMATS[topic], *registry),
    ]


def read(topic):
    """All committed messages, in the order of each partition."""
    output = subprocess.run(consumer(topic), cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    return sorted(messages, key=lambda message: (message["partition"], message["offset"]))


def position(message):
    return dict(message["headers"])[POSITION]


def place(message):
    """Where its change stands in the source: commit LSN, ordinal, half; rows of the snapshot come before all changes."""
    commit, ordinal = position(message).split(":")
    if ordinal.startswith("s"):
        return lsn(commit), -1, int(ordinal[1:])
    number, _, half = ordinal.partition(".")
    return lsn(commit), int(number), int(half or 0)


def drop():
    """Takes away what an earlier demo may have left: topics, and the schemas of their messages."""
    # librdkafka says on standard error what it also tells as an exception.
    kafka = AdminClient({"bootstrap.servers": rig("BROKER"), "log_level": 0})
    wanted = {PROGRESS, *FORMATS}
    there = wanted & set(kafka.list_topics(timeout=10).topics)
    for deleted in kafka.delete_topics(sorted(there)).values() if there else []:
        deleted.result()
    deadline = time.monotonic() + 15
    while wanted & set(kafka.list_topics(timeout=10).topics):
        if time.monotonic() > deadline:
            raise TimeoutError("the topics of an earlier demo do not go")
        time.sleep(0.05)
    for topic in FORMATS:
        for part in ("key", "value"):
            subject = f"{rig('REGISTRY')}/subjects/{topic}-{part}"
            answer = requests.delete(subject, timeout=10)
            if answer.status_code != 404:
                answer.raise_for_status()
