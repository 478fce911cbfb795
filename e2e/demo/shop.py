"""The shop's database: made, changed by several sessions at once, and taken away again."""

import os
import random
import threading
import time
from pathlib import Path

import psycopg
from psycopg import sql

DATABASE = "shop"
ROLE = "afterbay"
SLOT = "afterbay_shop"


def rig(name):
    return os.environ[f"AFTERBAY_RIG_{name}"]


def connect(database=DATABASE):
    """A session as the administrator."""
    return psycopg.connect(
        host=rig("POSTGRES_HOST"),
        port=rig("POSTGRES_PORT"),
        user=rig("POSTGRES_USER"),
        password=rig("POSTGRES_PASSWORD"),
        dbname=database,
        autocommit=True,
    )


def create(password):
    drop()
    with connect("postgres") as session:
        # A CREATE ROLE takes no parameters; psycopg quotes the literal.
        session.execute(sql.SQL("CREATE ROLE afterbay LOGIN REPLICATION PASSWORD {}").format(sql.Literal(password)))
        session.execute(f"CREATE DATABASE {DATABASE}")
    with connect() as session:
        session.execute(Path(__file__).with_name("shop.sql").read_text())


def drop():
    """Takes away what an earlier demo may have left."""
    with connect("postgres") as session:
        deadline = time.monotonic() + 10
        while session.execute("SELECT FROM pg_replication_slots WHERE slot_name = %s", [SLOT]).fetchone():
            session.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                "WHERE slot_name = %s AND active",
                [SLOT],
            )
            try:
                session.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                    "WHERE slot_name = %s AND NOT active",
                    [SLOT],
                )
            except psycopg.errors.ObjectInUse:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"the replication slot {SLOT} stays in use")
            time.sleep(0.05)
        session.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        session.execute(f"DROP ROLE IF EXISTS {ROLE}")


def log_end(session):
    """Where the log ends: all that was committed before stands before it."""
    return lsn(session.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()[0])


def lsn(text):
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class Load:
    """Sessions that change rows at random, each those of its own numbers, until they are told to stop."""

    SESSIONS = 3

    def __init__(self, seed=20):
        self.stopped = threading.Event()
        self.transactions = [0] * self.SESSIONS
        self.rolled_back = [0] * self.SESSIONS
        self.errors = []
        self.threads = [
            threading.Thread(target=self.guarded, args=(number, random.Random(seed + number)), daemon=True)
            for number in range(self.SESSIONS)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def guarded(self, number, chance):
        try:
            self.run(number, chance)
        except Exception as error:  # shown by stop()
            self.errors.append(error)

    def run(self, number, chance):
        with connect() as session:
            ids = {table: self.ids(session, table, number) for table in ("orders", "customers")}
            fresh = 10_000_000 * (number + 1)
            while not self.stopped.is_set():
                before = {table: list(known) for table, known in ids.items()}
                with session.transaction() as transaction:
                    for _ in range(chance.choice([1, 1, 1, 2, 5, 30])):
                        fresh += 1
                        self.change(session, chance, ids, fresh)
                    if chance.random() < 0.1:
                        ids = before
                        self.rolled_back[number] += 1
                        raise psycopg.Rollback(transaction)
                self.transactions[number] += 1

    def ids(self, session, table, number):
        rows = session.execute(f"SELECT id FROM {table} WHERE id %% {self.SESSIONS} = %s ORDER BY id", [number])
        return [row[0] for row in rows]

    def change(self, session, chance, ids, fresh):
        table = chance.choices(["orders", "customers"], [3, 1])[0]
        known = ids[table]
        what = chance.choices(["insert", "update", "delete", "key"], [4, 8, 3, 1])[0]
        if what == "insert" or len(known) < 10:
            if table == "orders":
                row = [fresh, chance.randrange(1, 200), round(chance.uniform(1, 500), 2)]
                session.execute("INSERT INTO orders (id, customer_id, total) VALUES (%s, %s, %s)", row)
            else:
                session.execute("INSERT INTO customers (id, name) VALUES (%s, %s)", [fresh, f"Zoë {fresh}"])
            known.append(fresh)
            return
        at = chance.randrange(len(known))
        one = known[at]
        if what == "delete":
            session.execute(f"DELETE FROM {table} WHERE id = %s", [one])
            known.pop(at)
        elif what == "key":
            session.execute(f"UPDATE {table} SET id = %s WHERE id = %s", [fresh, one])
            known[at] = fresh
        elif table == "orders":
            status = chance.choice(["paid", "packed", "sent", "returned"])
            session.execute("UPDATE orders SET status = %s WHERE id = %s", [status, one])
        else:
            session.execute("UPDATE customers SET vip = NOT vip, email = NULL WHERE id = %s", [one])
