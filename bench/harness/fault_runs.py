"""The scenarios of bench/faults. Each gives plain figures; bench/README.md says what they mean."""

import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path

from . import fault_report, processes
from .fault_setup import TOKENS, Upstreams

WARM_UP = 1.0  # seconds that are not looked at
DELAY_MS = 20


class Run:
    """The load generator under way, and when it began."""

    def __init__(self, process, out):
        self.process, self.out = process, out
        self.base = time.monotonic()

    def records(self, patience):
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise SystemExit(f"bench_load did not end within {patience} s") from None
        if self.process.returncode:
            raise SystemExit(f"bench_load ended with {self.process.returncode}")
        records = fault_report.read(self.out)
        self.base = records[0].at
        return records


class Faults:
    def __init__(self, tools, workers, say):
        self.tools = Path(tools)
        self.proxy_cpus, self.load_cpus = processes.split_cpus(workers)
        self.say = say

    @contextlib.contextmanager
    def load(self, port, folder, **flags):
        out = Path(folder) / "records"
        words = [self.tools / "bench_load", "arrivals", "--port", port, "--out", out]
        for name, value in flags.items():
            words += ["--" + name.replace("_", "-")] + ([] if value is True else [value])
        process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, start_new_session=True,
                                   preexec_fn=lambda: processes.settle(self.load_cpus))
        try:
            yield Run(process, out)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    # --- one endpoint after another fails

    def in_turn(self, subject, seconds, rate, patience=10):
        """Of three endpoints one is killed, one stalls, one answers 500s, in turn; half of the requests
        are streams."""
        plan = timetable(seconds)
        with tempfile.TemporaryDirectory(prefix="faults-") as folder, \
                Upstreams(self.tools, self.load_cpus, folder, [DELAY_MS] * 3) as upstreams, \
                subject.start(upstreams.ports, folder, self.proxy_cpus), \
                self.load(subject.port, folder, rate=rate, seconds=seconds, patience=patience,
                          mixed=True, tokens=TOKENS) as run:
            done = play(plan, run.base, upstreams, self.say)
            records = run.records(patience + 30)
            stats = [one.all_stats() for one in upstreams.all]
            last = keep_log(folder, subject.name)
        calm = [one for one in records if WARM_UP <= one.at - run.base < plan[0]["from"] - 0.5]
        faulty = [one for one in records if one.at - run.base >= plan[0]["from"]]
        return {
            **fault_report.totals(records), **fault_report.against_calm(calm, faulty),
            "first_failed": fault_report.first_failed(records, run.base),
            "faults": done, "length": seconds, "seconds": fault_report.by_second(records, run.base),
            "attempts": sum(life["requests"] for lives in stats for life in lives), "log": last,
        }

    # --- all are gone for a while

    def all_down(self, subject, rate, down=20.0, patience=40):
        """All endpoints are killed at 5 s; the first is back `down` seconds later, the others 3 s after."""
        length = 5 + down + 10
        with tempfile.TemporaryDirectory(prefix="faults-") as folder, \
                Upstreams(self.tools, self.load_cpus, folder, [DELAY_MS] * 3) as upstreams, \
                subject.start(upstreams.ports, folder, self.proxy_cpus), \
                self.load(subject.port, folder, rate=rate, seconds=length, patience=patience) as run:
            sleep_until(run.base + 5)
            for one in upstreams.all:
                one.kill()
            gone = time.monotonic()
            sleep_until(run.base + 5 + down)
            back = time.monotonic()
            upstreams.all[0].revive()
            sleep_until(back + 3)
            for one in upstreams.all[1:]:
                one.revive()
            records = run.records(length + patience + 30)
            first = upstreams.all[0].stats()
        meanwhile = [one for one in records if gone <= one.at < back]
        ended = [one.at + one.latency for one in records if one.good and one.at + one.latency >= back]
        alone = [second[2] for second in first["per_second"] if second[0] < back + 3]
        return {
            **fault_report.totals(records), "rate": rate,
            "meanwhile": {**fault_report.totals(meanwhile), **fault_report.latencies(meanwhile)},
            "first_success_s": min(ended) - back if ended else None,
            "attempts_per_second": max(alone, default=0), "most_in_flight": first["most_in_flight"],
            "faults": [{"from": gone - run.base, "to": back - run.base, "kind": "down", "endpoint": "all"}],
            "first_failed": fault_report.first_failed(records, run.base),
            "length": length, "seconds": fault_report.by_second(records, run.base),
        }

    # --- one is slow

    def one_slow(self, subject, rate, seconds, **policy):
        """Three endpoints, the last ten times slower; the first fifth of the time does not count."""
        with tempfile.TemporaryDirectory(prefix="faults-") as folder, \
                Upstreams(self.tools, self.load_cpus, folder, [DELAY_MS, DELAY_MS, DELAY_MS * 10]) as upstreams, \
                subject.start(upstreams.ports, folder, self.proxy_cpus, hedge=False, **policy), \
                self.load(subject.port, folder, rate=rate, seconds=seconds, patience=10) as run:
            records = run.records(seconds + 40)
            shares = [one.stats()["requests"] for one in upstreams.all]
        counted = [one for one in records if one.at - run.base >= seconds / 5]
        return {**fault_report.totals(counted), **fault_report.latencies(counted), "asked": shares}

    # --- prefixes

    def prefixes(self, subject, server, model, bodies, rate, seconds, **policy):
        """Streams over two real engines whose slots hold four of the prompts' prefixes each."""
        with tempfile.TemporaryDirectory(prefix="faults-") as folder, contextlib.ExitStack() as stack:
            ports = [self.engine(stack, server, model, folder, number) for number in range(2)]
            file = Path(folder) / "bodies"
            file.write_text("".join(json.dumps(body) + "\n" for body in bodies))
            stack.enter_context(subject.start(ports, folder, self.proxy_cpus, hedge=False, capacity=ENGINE_SLOTS,
                                              begin_within="60s", **policy))
            run = stack.enter_context(self.load(subject.port, folder, rate=rate, seconds=seconds, patience=60,
                                                stream=True, bodies=file))
            records = run.records(seconds + 90)
        counted = records[len(records) // 4:]  # the first turns fill the caches
        return {**fault_report.totals(counted), "first_token": fault_report.latencies(counted, "first")}

    def prefill(self, server, model, bodies):
        """(seconds for a prompt that no cache has, its tokens), asked of one engine directly."""
        with tempfile.TemporaryDirectory(prefix="faults-") as folder, contextlib.ExitStack() as stack:
            port = self.engine(stack, server, model, folder, 0)
            took, tokens = [], 0
            for body in bodies:
                begun = time.monotonic()
                answer = processes.post(port, "/v1/chat/completions", body | {"stream": False, "max_tokens": 1})
                took.append(time.monotonic() - begun)
                tokens = max(tokens, answer["usage"]["prompt_tokens"])
        return sum(took) / len(took), tokens

    def engine(self, stack, server, model, folder, number):
        port = processes.free_port()
        words = [server, "-m", model, "--alias", "bench-model", "--host", "127.0.0.1", "--port", port,
                 "-c", 2048 * ENGINE_SLOTS, "-np", ENGINE_SLOTS, "-t", 1, "--cache-ram", 0]
        stack.enter_context(processes.Program(words, self.load_cpus + self.proxy_cpus, folder, f"engine{number}",
                                              lambda: processes.answers(port), patience=60))
        return port


ENGINE_SLOTS = 4


def timetable(seconds):
    """[{from, to, kind, endpoint}]: a calm fifth, then one fault after another with rests between.

    Every endpoint meets every kind where there is time; an endpoint is well again before the next fails.
    """
    calm = seconds / 5
    count = 3 if seconds < 120 else 9
    each = (seconds - calm) / count
    kinds = ("kill", "stall", "500")
    return [{"from": calm + each * i, "to": calm + each * i + each * 0.65, "kind": kinds[i % 3],
             "endpoint": "abc"[(i + i // 3) % 3]} for i in range(count)]


def sleep_until(moment):
    time.sleep(max(0.0, moment - time.monotonic()))


def play(plan, base, upstreams, say):
    """Does what the timetable says, and gives it back with the times at which it was done."""
    done = []
    for step in plan:
        one = upstreams.all["abc".index(step["endpoint"])]
        sleep_until(base + step["from"])
        say(f"    {step['endpoint']}: {step['kind']}")
        begun = time.monotonic() - base
        if step["kind"] == "kill":
            one.kill()
        else:
            one.set(**({"stall_after_tokens": 0} if step["kind"] == "stall" else {"status": 500}))
        sleep_until(base + step["to"])
        if step["kind"] == "kill":
            one.revive()
        else:
            one.set()
        done.append(step | {"from": begun, "to": time.monotonic() - base})
    return done


def keep_log(folder, name):
    """The end of what the proxy said, for the report of a run that failed."""
    path = Path(folder) / (f"{name}.log" if name == "corral" else f"{name}.out")
    return path.read_text(errors="replace")[-1500:] if path.exists() else ""
