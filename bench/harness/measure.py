"""The measurements: each starts what it needs, runs the load, and gives plain figures."""

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from . import processes, subjects

MB = 1e6


class Bench:
    def __init__(self, tools, workers, say):
        self.tools = Path(tools)
        self.proxy_cpus, self.load_cpus = processes.split_cpus(workers)
        self.say = say

    def load(self, what, port, **flags):
        """Runs bench_load and gives its JSON."""
        words = [str(self.tools / "bench_load"), what, "--port", str(port)]
        for name, value in flags.items():
            words += ["--" + name.replace("_", "-"), str(value)]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, start_new_session=True,
                              preexec_fn=lambda: processes.settle(self.load_cpus))
        return json.loads(done.stdout)

    def upstream(self, folder, *flags):
        words = [self.tools / "bench_upstream", "--threads", 1, *flags]
        program = processes.Program(words, self.load_cpus, folder, "upstream")
        until = time.monotonic() + 5
        while "listening on" not in program.tail():
            if time.monotonic() > until:
                raise SystemExit("bench_upstream does not start:\n" + program.tail())
            time.sleep(0.01)
        program.port = int(program.tail().split(":")[1].split()[0])
        return program

    def requests(self, competitors, rounds, seconds, rate, connections):
        """Throughput (closed loop) and latency at a fixed rate (open loop), round by round."""
        results = {one.name: [] for one in competitors}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, self.upstream(folder) as up:
            for number in range(rounds):
                # Each round begins with another one, so that none always meets the same weather.
                shift = number % len(competitors)
                for one in competitors[shift:] + competitors[:shift]:
                    self.say(f"round {number + 1}/{rounds}: {one.name}")
                    results[one.name].append(
                        self._requests_once(one, up.port, seconds, rate, connections))
        return results

    def _requests_once(self, one, upstream, seconds, rate, connections):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            with one.start(upstream, folder, self.proxy_cpus) as program, \
                    processes.PeakMemory(program.pid) as memory:
                before, begun = processes.cpu_seconds(program.pid) if program.pid else 0, time.time()
                closed = self.load("closed", one.port, seconds=seconds, connections=connections,
                                   warm_up=0.5)
                cpu = (processes.cpu_seconds(program.pid) if program.pid else 0) - before
                spent = time.time() - begun
                opened = self.load("open", one.port, seconds=seconds, rate=rate,
                                   connections=connections, warm_up=0.5)
        # The warm-up cost CPU too, and its requests are not counted: scale by time.
        counted = closed["requests"] * (seconds + 0.5) / seconds
        return {
            "per_second": closed["per_second"],
            "p50_us": closed["latency_us"]["p50"],
            "p99_us": closed["latency_us"]["p99"],
            "cpu_us_per_request": cpu * 1e6 / counted if counted and program.pid else 0,
            "cpu_share": cpu / spent / len(self.proxy_cpus),
            "rate_p50_us": opened["latency_us"]["p50"],
            "rate_p99_us": opened["latency_us"]["p99"],
            "errors": closed["errors"] + opened["errors"],
            "peak_mb": memory.peak / MB,
        }

    def streams(self, competitors, streams, tokens, rate, ramp, rounds=1):
        results = {one.name: [] for one in competitors}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, self.upstream(
                folder, "--tokens", tokens, "--rate", rate, "--close-streams") as up:
            for number in range(rounds):
                shift = number % len(competitors)
                for one in competitors[shift:] + competitors[:shift]:
                    self.say(f"{streams} streams, round {number + 1}/{rounds}: {one.name}")
                    results[one.name].append(
                        self._streams_once(one, up.port, streams, tokens, ramp))
        return results

    def _streams_once(self, one, upstream, streams, tokens, ramp):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            with one.start(upstream, folder, self.proxy_cpus) as program, \
                    processes.PeakMemory(program.pid) as memory:
                before = processes.cpu_seconds(program.pid) if program.pid else 0
                got = self.load("streams", one.port, streams=streams, tokens=tokens, ramp=ramp)
                cpu = (processes.cpu_seconds(program.pid) if program.pid else 0) - before
        return {
            "whole": got["whole"], "failed": got["failed"], "lost": got["lost_tokens"],
            "reordered": got["reordered_tokens"], "at_once": got["most_at_once"],
            "first_p50_ms": got["first_token_us"]["p50"] / 1000,
            "first_p99_ms": got["first_token_us"]["p99"] / 1000,
            "delay_p50_us": got["delay_us"]["p50"], "delay_p99_us": got["delay_us"]["p99"],
            "cpu_us_per_token": cpu * 1e6 / (streams * tokens),
            "peak_mb": memory.peak / MB,
        }

    def at_rest(self, corral, starts):
        """Time from exec to the first good /health, and memory two seconds later."""
        times, memory = [], 0
        for number in range(starts):
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                with corral.start(9, folder, self.proxy_cpus) as program:
                    times.append(program.ready_after * 1000)
                    if number == starts - 1:
                        time.sleep(2)
                        memory = processes.resident_bytes(program.pid) / MB
        return {"ready_ms": statistics.median(times), "ready_ms_best": min(times),
                "rest_mb": memory}

    def engine(self, binary, server, model, tokens, runs):
        """Tokens a second of a real llama-server: asked directly, and through Corral, in turns."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            port = processes.free_port()
            words = [server, "-m", model, "--alias", "bench-real", "--host", "127.0.0.1", "--port",
                     port, "-c", 4096, "-np", 1, "-t", 1, "--cache-ram", 0]
            endpoint = (f"  - name: engine\n    binding: llamacpp\n"
                        f"    url: \"http://127.0.0.1:{port}\"\n    models: [bench-real]\n")
            corral = subjects.Corral(binary, endpoint)
            with processes.Program(words, self.load_cpus, folder, "engine",
                                   lambda: processes.answers(port)), \
                    corral.start(9, folder, self.proxy_cpus):
                ways = {"direct": port, "corral": corral.port}
                speeds = {name: [] for name in ways}
                for number in range(runs + 1):
                    self.say(f"real engine, run {number}/{runs}")
                    order = list(ways) if number % 2 else list(reversed(ways))
                    for name in order:
                        got = self.load("single", ways[name], model="bench-real", tokens=tokens,
                                        runs=1)["tokens_per_second"][0]
                        if number:  # the first run of each warms up
                            speeds[name].append(got)
        if not all(all(values) for values in speeds.values()):
            raise SystemExit(f"the real engine did not answer every time: {speeds}")
        return speeds
