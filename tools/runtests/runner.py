"""Running commands and counting what they report, for the steps of scripts/test.

Counts come only from what a runner printed (or, for a check that is one thing, its exit code). A
runner that died before its summary counts as one failure.
"""

import functools
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "test-logs"
TAIL_LINES = 40


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    failures: list = field(default_factory=list)  # (what failed, what to do)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.failures += other.failures


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "corral"


def say(text):
    print(text, flush=True)


@dataclass
class Ran:
    code: int
    output: str
    seconds: float
    log: pathlib.Path


def run(name, command, *, timeout, env=None, cwd=ROOT, show=None):
    """Runs a command with its output in build/test-logs/NAME.log; `show` picks lines to pass on.

    The command gets its own process group, which is killed as a whole when the time is up.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    start = time.monotonic()
    lines = []
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    timer = Alarm(process, timeout)
    with log.open("w") as file:
        for line in process.stdout:
            file.write(line)
            lines.append(line)
            if show and show(line):
                sys.stdout.write("    " + line)
                sys.stdout.flush()
        code = process.wait()
        timer.cancel()
        if timer.rang:
            lines.append(f"[ended after its limit of {timeout} s]\n")
            file.write(lines[-1])
            code = code or 124
    return Ran(code, "".join(lines), time.monotonic() - start, log)


class Alarm:
    """Kills the process group when the time is up."""

    def __init__(self, process, seconds):
        import threading

        self.rang = False
        self.process = process
        self.timer = threading.Timer(seconds, self.ring)
        self.timer.daemon = True
        self.timer.start()

    def ring(self):
        self.rang = True
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def cancel(self):
        self.timer.cancel()


def tail(ran):
    lines = ran.output.rstrip().splitlines()[-TAIL_LINES:]
    for line in lines:
        say("    | " + line)


def single(name, ran, advice):
    """A check that is one thing: passed by exit code 0."""
    if ran.code == 0:
        return Tally(passed=1)
    tail(ran)
    return Tally(failed=1, failures=[(name, f"{advice} (log: {ran.log.relative_to(ROOT)})")])


def counted(name, ran, passed, failed, advice):
    """A runner's own counts; one that failed without counting a failure adds one."""
    if ran.code != 0 and failed == 0:
        failed = 1
    failures = []
    if failed:
        tail(ran)
        failures.append((name, f"{advice} (log: {ran.log.relative_to(ROOT)})"))
    elif passed == 0:
        failed = 1
        failures.append((name, f"it ran no test at all (log: {ran.log.relative_to(ROOT)})"))
    return Tally(passed, failed, failures)


def gtest_counts(output):
    """(passed, failed) of GoogleTest's summary."""
    passed = re.findall(r"^\[  PASSED  \] (\d+) tests?\.", output, re.M)
    failed = re.findall(r"^\[  FAILED  \] (\d+) tests?, listed below", output, re.M)
    return int(passed[-1]) if passed else 0, int(failed[-1]) if failed else 0


def pytest_counts(output):
    """(passed, failed) of pytest's last line; errors, unexpected passes and skips are failures."""
    summary = [line for line in output.splitlines() if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    if not summary:
        return 0, 0
    counts = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", summary[-1])}
    bad = ("failed", "error", "errors", "xpassed", "xfailed", "skipped")
    return counts.get("passed", 0), sum(counts.get(word, 0) for word in bad)


def unittest_counts(output):
    ran = re.search(r"^Ran (\d+) tests?", output, re.M)
    total = int(ran.group(1)) if ran else 0
    bad = sum(int(n) for n in re.findall(r"(?:failures|errors|skipped)=(\d+)", output))
    return total - bad, bad


class BuildProgress:
    """Passes on every 25th step of ninja, its failures, and each line of theirs."""

    def __init__(self):
        self.seen = 0
        self.failing = False

    def __call__(self, line):
        if re.match(r"\[\d+/\d+\]", line):
            self.failing = False
            self.seen += 1
            return self.seen % 25 == 1
        if line.startswith("FAILED:"):
            self.failing = True
        return self.failing or "error:" in line


@functools.cache
def configure(preset):
    """Configures build/PRESET, also one that is: it may have been before a library came. The failure, or None."""
    ran = run(f"configure-{preset}", ["cmake", "--preset", preset], timeout=120)
    if ran.code == 0:
        return None
    return single(f"configure {preset}", ran, "see cmake's message; scripts/install-deps installs what it needs")


def build(preset, targets=(), keep_going=True):
    """Configures and builds; a Tally that is empty unless that failed."""
    failed = configure(preset)
    if failed:
        return failed
    command = ["ninja", "-C", f"build/{preset}", *(["-k", "0"] if keep_going else []), *targets]
    ran = run(f"build-{preset}", command, timeout=2400, show=BuildProgress())
    if ran.code == 0:
        say(f"    built {preset} in {ran.seconds:.0f} s")
        return Tally()
    advice = f"the compiler's message is above; to repeat it: ninja -C build/{preset}"
    return Tally(failed=1, failures=[(f"build {preset}", advice)])
