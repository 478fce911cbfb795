"""The demo, once the parts are up. Its exit status is 0 only if the count is right."""

import os
import shlex
import shutil
import sys
import time

import psycopg
from confluent_kafka import KafkaException
from requests import RequestException

import check
import look
import program
import shop
import topics

PASSWORD = "afterbay-demo"
KEEP = bool(os.environ.get("KEEP"))
LOAD_SECONDS = 4.0
KILL_AFTER_SECONDS = 1.5

CHANGES = [
    ("an order comes, is paid and sent, in one transaction", [
        "BEGIN",
        "INSERT INTO orders (id, customer_id, total) VALUES (5001, 42, 99.90)",
        "UPDATE orders SET status = 'paid' WHERE id = 5001",
        "UPDATE orders SET status = 'sent' WHERE id = 5001",
        "COMMIT",
    ]),
    ("an order is deleted", ["DELETE FROM orders WHERE id = 7"]),
    ("an order gets another key: the old one ends, the new one begins", ["UPDATE orders SET id = 5002 WHERE id = 5001"]),
    ("a customer changes", ["UPDATE customers SET vip = true WHERE id = 42"]),
    ("a mistake, rolled back", ["BEGIN", "DELETE FROM orders", "DELETE FROM customers", "ROLLBACK"]),
]


def main():
    program.stop_earlier()
    topics.drop()
    shutil.rmtree(program.STATE, ignore_errors=True)

    look.heading("A shop")
    shop.create(PASSWORD)
    with shop.connect() as session:
        counts = session.execute("SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders)").fetchone()
        look.line(f"database {shop.DATABASE}: {counts[0]} customers, {counts[1]} orders")

        look.heading("afterbay run")
        folder = program.manifests()
        program.call("validate", "--online", "-f", folder)
        run = program.Run(folder)
        look.quiet("$ " + shlex.join([os.path.relpath(run.command[0]), *run.command[1:4]]))
        try:
            return tell(session, run)
        finally:
            clean_up(run)


def tell(session, run):
    started = time.monotonic()
    sinks = run.await_running()
    for name, sink in sinks.items():
        look.line(f"{sink['table']} → topic {sink['topic']}: {sink['state']}")
    look.line(f"the rows that were there are committed after {time.monotonic() - started:.1f} s")

    look.heading("Changes, and what a reader of committed messages sees")
    changes = [(*change, make(session, change[1])) for change in CHANGES]
    run.await_settled(shop.log_end(session))
    messages = [(topic, message) for topic in topics.FORMATS for message in topics.read(topic)]
    rows = [pair for pair in messages if is_of_snapshot(pair[1])]
    look.line()
    look.line(f"the rows that were there, {len(rows):,} of them, such as")
    show(*rows[len(rows) // 2])
    messages = [pair for pair in messages if not is_of_snapshot(pair[1])]
    for title, statements, place in changes:
        show_change(title, statements, [pair for pair in messages if topics.place(pair[1])[0] in place])

    look.heading("A load of changes, and kill -9 in the middle")
    kill_under_load(session, run)

    look.heading("Status")
    for text in program.call("status", "--state-dir", program.STATE).splitlines():
        look.line(text)

    look.heading("The count, against the database")
    return check.main()


def make(session, statements):
    """Makes a change; gives the part of the log in which it stands."""
    before = shop.log_end(session)
    for statement in statements:
        session.execute(statement)
    return range(before, shop.log_end(session))


def show_change(title, statements, messages):
    look.line()
    look.line(title)
    for statement in statements:
        look.quiet(f"shop=# {statement};")
    for topic, message in sorted(messages, key=lambda pair: topics.place(pair[1])):
        show(topic, message)
    if not messages:
        look.line("nothing")


def is_of_snapshot(message):
    return ":s" in topics.position(message)


def show(topic, message):
    value = message["value"]
    look.line(f"{topic}, partition {message['partition']}, key {look.on_one_line(message['key'])}")
    if value is None:
        look.line("  no value: a tombstone")
    elif value.keys() == {"before", "after"}:
        look.line(f"  before {look.on_one_line(value['before'])}")
        look.line(f"  after  {look.on_one_line(value['after'])}")
    else:
        look.line(f"  {look.on_one_line(value)}")
    look.quiet("  " + "  ".join(f"{name}: {words}" for name, words in message["headers"]))


def kill_under_load(session, run):
    load = shop.Load().start()
    try:
        time.sleep(KILL_AFTER_SECONDS)
        committed = {name: sink["messagesCommitted"] for name, sink in run.report().items()}
        old, new, seconds = run.kill_worker()
        look.line(f"worker {old} had committed {sum(committed.values()):,} messages when it was killed")
        look.line(f"worker {new} took over {seconds:.1f} s later, while the shop went on")
        time.sleep(LOAD_SECONDS - KILL_AFTER_SECONDS)
    finally:
        load.stop()
    look.line(
        f"{sum(load.transactions):,} transactions of {load.SESSIONS} sessions, "
        f"{sum(load.rolled_back):,} of them rolled back"
    )
    started = time.monotonic()
    run.await_settled(shop.log_end(session))
    look.line(f"all of it committed in Kafka {time.monotonic() - started:.1f} s after the last change")


def clean_up(run):
    if KEEP:
        look.heading("It stays up (KEEP=1)")
        how_to_connect()
        return
    look.heading("Cleaning up")
    run.stop()
    shop.drop()
    topics.drop()
    shutil.rmtree(program.STATE, ignore_errors=True)
    look.line("nothing of it is left; what afterbay said stands in " + os.path.relpath(program.LOG))


def how_to_connect():
    url = f"postgresql://{shop.rig('POSTGRES_USER')}:{shop.rig('POSTGRES_PASSWORD')}@"
    url += f"{shop.rig('POSTGRES_HOST')}:{shop.rig('POSTGRES_PORT')}/{shop.DATABASE}"
    state = os.path.relpath(program.STATE)
    for what, command in [
        ("change rows", f"psql {url}"),
        ("read orders", shlex.join(topics.consumer("orders"))),
        ("read customers", shlex.join(topics.consumer("customers"))),
        ("status", f"target/debug/afterbay status --state-dir {state}"),
        ("count again", 'eval "$(e2e/rig/rig env)"; target/rig/venv/bin/python e2e/demo/check.py'),
        ("log", f"tail -f {os.path.relpath(program.LOG)}"),
        ("end it", f"kill $(cat {os.path.relpath(program.PID)}); e2e/rig/rig down"),
    ]:
        look.line(f"{what:16} {command}")


if __name__ == "__main__":
    try:
        well = main()
    except (RuntimeError, TimeoutError, OSError, psycopg.Error, KafkaException, RequestException) as error:
        look.bad(str(error))
        if program.LOG.exists():
            for text in program.LOG.read_text(errors="replace").splitlines()[-15:]:
                look.quiet(text)
        well = False
    look.line()
    look.line(f"{time.monotonic() - look.STARTED:.0f} s in all")
    sys.exit(0 if well else 1)
