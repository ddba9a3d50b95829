"""Starting programs on chosen CPUs, and reading what they cost from /proc."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def split_cpus(workers):
    """CPUs for the proxy and for everything else; the same CPU for both where there is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1:
        return cpus, cpus
    return cpus[-workers:], cpus[:-workers] or cpus


def family(pid):
    """`pid` and its descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        queue.extend(children.get(one, []))
    return found


def cpu_seconds(pid):
    """User and system time of the whole family, ended children included."""
    total = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / TICKS


def resident_bytes(pid):
    """Resident memory of the family; pages that several share count for each."""
    total = 0
    for one in family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return total


class PeakMemory:
    """Watches a family's resident memory while the block runs."""

    def __init__(self, pid):
        self.pid, self.peak, self._stop = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._stop.is_set():
            self.peak = max(self.peak, resident_bytes(self.pid))
            self._stop.wait(0.1)

    def __enter__(self):
        if self.pid:
            self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self.pid:
            self._thread.join()


NICE = 0  # added to what is started here; set by bench/run --nice


def settle(cpus):
    """What a child does before it becomes the program: its CPUs, its priority, its file limit."""
    os.sched_setaffinity(0, cpus)
    if NICE:
        os.nice(NICE)
        try:  # where the kernel shares the CPU out by session, only this counts
            Path("/proc/self/autogroup").write_text(str(NICE))
        except OSError:
            pass
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Program:
    """A child process in a group of its own, ended when the block ends."""

    def __init__(self, argv, cpus, folder, name, ready=None, patience=20):
        self.log = Path(folder) / f"{name}.out"
        self.name = name
        self.started = time.monotonic()
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in argv], stdout=out, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True, cwd=folder,
                preexec_fn=lambda: settle(cpus))
        self.pid = self.process.pid
        try:
            if ready:
                self._await(ready, patience)
        except BaseException:
            self.stop()
            raise

    def _await(self, ready, patience):
        while not ready():
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() - self.started > patience:
                raise SystemExit(f"{self.name} was not ready in {patience} s:\n{self.tail()}")
            time.sleep(0.0005)
        self.ready_after = time.monotonic() - self.started

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def answers(port, path="/health"):
    """Does GET `path` give 200? One short try over a bare socket."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return s.recv(64).startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    except OSError:
        return False


def post(port, path, body):
    """The JSON answer to a JSON request; ends the program when it is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"POST {path} on port {port} gave {answer.status}: {text[:500]!r}")
    return json.loads(text)
