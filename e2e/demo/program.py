"""`afterbay run`, as a user would start it, and the worker that it starts."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

from shop import lsn, rig
from topics import REPOSITORY

FOLDER = Path(os.environ.get("AFTERBAY_DEMO_DIR", REPOSITORY / "target/demo"))
STATE = FOLDER / "state"
LOG = FOLDER / "afterbay.log"
PID = FOLDER / "afterbay.pid"
AFTERBAY = REPOSITORY / "target/debug/afterbay"
QUICKSTART = REPOSITORY / "examples/quickstart"
# What the quickstart's manifests say of the rig, and what the rig says of itself.
ADDRESSES = {
    "host: 127.0.0.1": ("host: {}", "POSTGRES_HOST"),
    "port: 25432": ("port: {}", "POSTGRES_PORT"),
    "127.0.0.1:29092": ("{}", "BROKER"),
    "http://127.0.0.1:28081/apis/ccompat/v7": ("{}", "REGISTRY"),
}


def manifests():
    """The quickstart as it is, or a copy of it where the rig listens elsewhere."""
    wanted = {old: form.format(rig(name)) for old, (form, name) in ADDRESSES.items()}
    if all(old == new for old, new in wanted.items()):
        return QUICKSTART
    copy = FOLDER / "quickstart"
    copy.mkdir(parents=True, exist_ok=True)
    for file in QUICKSTART.glob("*.yaml"):
        text = file.read_text()
        for old, new in wanted.items():
            text = text.replace(old, new)
        (copy / file.name).write_text(text)
    return copy


def call(*arguments):
    """Runs the program to its end, and gives what it says."""
    done = subprocess.run([AFTERBAY, *arguments], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError(f"afterbay {' '.join(map(str, arguments))} ends with {done.returncode}:\n{done.stdout}")
    return done.stdout


def await_condition(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def stop_earlier():
    """Ends the run that an earlier demo has left."""
    try:
        pid = int(PID.read_text())
    except (FileNotFoundError, ValueError):
        return
    if str(STATE) in " ".join(arguments_of(pid)):
        os.kill(pid, signal.SIGTERM)
        await_condition("the earlier demo ends", 20, lambda: not arguments_of(pid))
    PID.unlink(missing_ok=True)


def arguments_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


class Run:
    """A running `afterbay run`."""

    def __init__(self, folder):
        self.command = [str(AFTERBAY), "run", "-f", os.path.relpath(folder, REPOSITORY), "--state-dir", str(STATE)]
        with LOG.open("wb") as log:
            # In a session of its own, so that it outlives this program with KEEP=1.
            self.child = subprocess.Popen(
                self.command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        PID.write_text(str(self.child.pid))

    def worker(self):
        """The process id of the worker, if one runs."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = stat.read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            pid = int(stat.parent.name)
            if int(words[1]) == self.child.pid and words[0] != "Z" and "--plan" in arguments_of(pid):
                return pid
        return None

    def report(self):
        """What the worker says of itself, by Sink; nothing while it does not answer."""
        if self.child.poll() is not None:
            raise RuntimeError(f"afterbay run has ended with {self.child.returncode}, see {LOG}")
        pid = self.worker()
        if pid is None:
            return {}
        try:
            arguments = arguments_of(pid)
            plan = json.loads(Path(arguments[arguments.index("--plan") + 1]).read_text())
            address = Path(plan["listenFile"]).read_text().strip()
            with urllib.request.urlopen(f"http://{address}/status", timeout=2) as answer:
                report = json.load(answer)
        except (OSError, ValueError):
            return {}
        return {sink["name"].split("/")[1]: sink for sink in report["sinks"]}

    def await_sinks(self, what, condition, seconds=60):
        """Waits until the condition holds for every Sink."""

        def all_of_them():
            sinks = self.report()
            return sinks if sinks and all(condition(sink) for sink in sinks.values()) else None

        return await_condition(what, seconds, all_of_them)

    def await_running(self):
        return self.await_sinks("every Sink runs", lambda sink: sink["state"] == "running")

    def await_settled(self, end):
        """Waits until all that commits before this place of the log stands in Kafka."""
        return self.await_sinks("every Sink has caught up", lambda sink: lsn(sink.get("settled", "0/0")) >= end)

    def kill_worker(self):
        """As by `kill -9`; gives the process ids of the dead one and of its successor, and the seconds in between."""
        old = self.worker()
        os.kill(old, signal.SIGKILL)
        started = time.monotonic()
        new = await_condition("another worker", 60, lambda: (pid := self.worker()) != old and pid)
        return old, new, time.monotonic() - started

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        status = self.child.wait(timeout=30)
        PID.unlink(missing_ok=True)
        return status
