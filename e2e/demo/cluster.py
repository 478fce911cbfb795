"""The demo in a cluster, once that is up: run in its network. Its exit status is 0 only if the count is right."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import psycopg
from confluent_kafka import KafkaException
from requests import RequestException

import check
import look
import program
import shop
import topics
from story import KEEP, KILL_AFTER_SECONDS, LOAD_SECONDS, PASSWORD

OPERATOR = "afterbay-system"
# The Sinks' names at Kafka hold it, and topics.py takes those of this one away.
NAMESPACE = "default"
INSTALL = [
    *("helm", "install", "afterbay", "charts/afterbay", "--namespace", OPERATOR, "--create-namespace"),
    *("--set", "image.repository=afterbay,image.tag=dev,image.pullPolicy=Never", "--wait", "--timeout", "3m"),
]
WORKER = "afterbay.dev/source=shop,app.kubernetes.io/component=worker"
READY_SECONDS = 180


def main():
    clean_up()
    look.heading("A shop")
    shop.create(PASSWORD)
    with shop.connect() as session:
        counts = session.execute("SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders)").fetchone()
        look.line(f"database {shop.DATABASE}: {counts[0]} customers, {counts[1]} orders")

        look.heading("helm install")
        # Tests that ran in this cluster have left definitions that no release owns.
        are_there = call(["kubectl", "get", "crd", "sinks.afterbay.dev", "--ignore-not-found", "-o", "name"])
        show([*INSTALL, *(["--take-ownership"] if are_there else [])])
        look.heading("kubectl apply")
        show(["kubectl", "apply", "-f", os.path.relpath(program.manifests(), topics.REPOSITORY)])
        started = time.monotonic()
        call(["kubectl", "wait", "--for=condition=Ready", "sinks", "--all", f"--timeout={READY_SECONDS}s"])
        look.line(f"ready after {time.monotonic() - started:.1f} s")
        show(["kubectl", "get", "afterbay"])
        show(["kubectl", "get", "pods"])

        look.heading("A load of changes, and the worker's pod deleted by force in the middle")
        delete_under_load(session)
        show(["kubectl", "get", "sinks"])

    look.heading("The count, against the database")
    is_right = check.main()
    if KEEP:
        how_to_connect()
    else:
        look.heading("Cleaning up")
        clean_up()
        look.line("nothing of it is left")
    return is_right


def call(command):
    """Runs a command to its end, and gives what it says."""
    done = subprocess.run(command, cwd=topics.REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ends with {done.returncode}:\n{done.stdout}")
    return done.stdout


def show(command):
    look.quiet("$ " + " ".join(command))
    for text in call(command).splitlines():
        look.line(text)


def delete_under_load(session):
    load = shop.Load().start()
    try:
        time.sleep(KILL_AFTER_SECONDS)
        show(["kubectl", "delete", "pod", "-l", WORKER, "--force", "--grace-period=0"])
        time.sleep(LOAD_SECONDS - KILL_AFTER_SECONDS)
    finally:
        load.stop()
    look.line(
        f"{sum(load.transactions):,} transactions of {load.SESSIONS} sessions, "
        f"{sum(load.rolled_back):,} of them rolled back"
    )
    started = time.monotonic()
    end = shop.log_end(session)
    program.await_condition("every Sink has caught up", READY_SECONDS, lambda: has_settled(end))
    look.line(f"all of it committed in Kafka {time.monotonic() - started:.1f} s after the last change")


def has_settled(end):
    """Whether the worker says that all that commits before this place of the log stands in Kafka."""
    pods = json.loads(call(["kubectl", "get", "pods", "-l", WORKER, "-o", "json"]))["items"]
    for pod in pods:
        try:
            with urllib.request.urlopen(f"http://{pod['status']['podIP']}:8080/status", timeout=2) as answer:
                sinks = json.load(answer)["sinks"]
        except (OSError, ValueError, KeyError):
            continue
        if all(shop.lsn(sink.get("settled", "0/0")) >= end for sink in sinks):
            return True
    return False


def clean_up():
    """Takes away this demo, or what an earlier one has left."""
    if "sinks.afterbay.dev" in call(["kubectl", "get", "crds", "-o", "name"]):
        # The operator takes away what goes with them; without it nobody would.
        for kind in ("sinks", "sourceconnectors", "kafkaconnections", "schemaregistryconnections"):
            call(["kubectl", "delete", kind, "--all", "--ignore-not-found", "--timeout=180s"])
    call(["kubectl", "delete", "secret", "shop-db", "--ignore-not-found"])
    call(["helm", "uninstall", "afterbay", "--namespace", OPERATOR, "--ignore-not-found", "--wait"])
    call(["kubectl", "delete", "namespace", OPERATOR, "--ignore-not-found"])
    shop.drop()
    topics.drop()


def how_to_connect():
    look.heading("It stays up (KEEP=1)")
    cluster = "e2e/rig/kubernetes/rig"
    for what, command in [
        ("look", f"{cluster} kubectl get afterbay"),
        ("why", f"{cluster} kubectl describe sink orders"),
        ("the operator's log", f"{cluster} kubectl logs -n {OPERATOR} deployment/afterbay -f"),
        ("anything inside", f"{cluster} in psql …"),
        ("end it", f"{cluster} fresh"),
    ]:
        look.line(f"{what:20} {command}")


if __name__ == "__main__":
    try:
        well = main()
    except (RuntimeError, TimeoutError, OSError, psycopg.Error, KafkaException, RequestException) as error:
        look.bad(str(error))
        well = False
    look.line()
    look.line(f"{time.monotonic() - look.STARTED:.0f} s in all")
    sys.exit(0 if well else 1)
