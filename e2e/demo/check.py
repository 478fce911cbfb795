"""Counts: what stands in the topics against what the database says should.

Can be run by itself while `make demo KEEP=1` is up: target/rig/venv/bin/python e2e/demo/check.py
(with `eval "$(e2e/rig/rig env)"` before it, and no changes under way).
"""

import sys
from collections import Counter

import look
import shop
import topics

# Rows as their messages should have them, written by SQL and not by Afterbay.
ROWS = {
    "orders": """
        SELECT id, json_build_object(
            'id', id, 'customer_id', customer_id, 'status', status, 'total', total::text,
            'placed_at', trunc(extract(epoch FROM placed_at) * 1000, 3)::text)
        FROM orders""",
    "customers": """
        SELECT id, json_build_object(
            'id', id, 'name', name, 'email', email, 'vip', vip, 'joined', joined - date '1970-01-01')
        FROM customers""",
}


def replay(messages):
    """The table that a reader makes of the messages: the last one of each key counts."""
    rows = {}
    for message in messages:
        key, value = message["key"]["id"], message["value"]
        if value is not None and value.keys() == {"before", "after"}:
            value = value["after"]
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return rows


def out_of_order(messages):
    """The positions that stand behind a later one of the same key."""
    last = {}
    for message in messages:
        key = look.on_one_line(message["key"])
        if topics.place(message) < last.get(key, (0, 0, 0)):
            yield topics.position(message)
        last[key] = topics.place(message)


def check(session, topic):
    """The figures of a topic, and what is wrong with it."""
    messages = topics.read(topic)
    expected = session.execute("SELECT sum(messages) FROM account.expected WHERE relation = %s", [topic]).fetchone()[0]
    rows = dict(session.execute(ROWS[topic]).fetchall())
    replayed = replay(messages)
    positions = Counter(topics.position(message) for message in messages)
    repeated = [position for position, count in positions.items() if count > 1]

    wrong = []
    if len(messages) != expected:
        wrong.append(f"{topic}: {len(messages)} messages instead of {expected}")
    if repeated:
        wrong.append(f"{topic}: positions that stand more than once: {', '.join(repeated[:5])}")
    if late := list(out_of_order(messages)):
        wrong.append(f"{topic}: positions out of their key's order: {', '.join(late[:5])}")
    for key in sorted(rows.keys() | replayed.keys()):
        if rows.get(key) != replayed.get(key):
            wrong.append(f"{topic}: key {key} is {replayed.get(key)} instead of {rows.get(key)}")
            break
    return (topic, expected, len(messages), len(positions), len(rows), len(replayed)), wrong


def main():
    figures = [("topic", "changes made", "messages", "distinct positions", "rows of the table", "rows of the replay")]
    wrong = []
    with shop.connect() as session:
        for topic in topics.FORMATS:
            row, problems = check(session, topic)
            figures.append(row)
            wrong += problems
    look.table(figures)
    look.line()
    for problem in wrong:
        look.bad(problem)
    if not wrong:
        look.good("every change stands once, in the order of its key; replayed, each topic is the table, value by value")
    return not wrong


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
