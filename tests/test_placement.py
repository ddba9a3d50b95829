"""Models that do not fit together: they take turns, nobody waits for ever, and the memory comes back.

Two copies of the bundled model under a budget that holds one of them.
"""

import contextlib
import subprocess
import threading
import time

import httpx
import psutil
import pytest

from harness.corral import MODEL, MODELS, sse, wait_until
from harness.fake_upstream import FakeUpstream

CHAT = "/v1/chat/completions"
SETTINGS = "{context: 2048, slots: 4}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    for name in ("one", "two"):
        (place / f"{name}.gguf").write_bytes((MODELS / f"{MODEL}.gguf").read_bytes())
    return place


def config(memory, more="", scheduler="", settings=SETTINGS):
    return (f"models:\n  settings:\n    one: {settings}\n    two: {settings}\n"
            f"scheduler:\n  memory: {memory}\n{scheduler}{more}")


@pytest.fixture(scope="module")
def budget(folder, tmp_path_factory):
    """Room for one and a half."""
    from harness.corral import Corral

    with Corral(tmp_path_factory.mktemp("asked"), models=folder, config=config("4GiB")) as server:
        need = server.get("/admin/v1/models/one").json()["memory_estimate_bytes"]
    assert need > 10_000_000
    return int(need * 1.5)


@pytest.fixture
def pair(fresh, folder, budget):
    def make(more="", scheduler="", memory=None):
        return fresh(models=folder, config=config(memory or budget, more, scheduler)).start()

    return make


def ask(server, model, **options):
    answer = server.chat(model=model, **({"max_tokens": 2} | options))
    assert answer.status_code == 200, answer.text
    return answer


def names(server):
    return sorted(one.cmdline()[one.cmdline().index("--alias") + 1] for one in server.engines())


@contextlib.contextmanager
def long_answer(server, model):
    """A stream that goes on as long as the block does."""
    body = {"model": model, "stream": True, "max_tokens": 100_000, "ignore_eos": True, "temperature": 0,
            "messages": [{"role": "user", "content": "Hello!"}]}
    with httpx.stream("POST", server.url + CHAT, json=body, timeout=120) as response:
        assert response.status_code == 200
        events = sse(response.iter_lines())
        next(events)
        yield events


def test_they_take_turns_in_memory(pair):
    server = pair()
    for model in ("one", "two", "one"):
        ask(server, model)
        assert names(server) == [model]
    wait_until(lambda: server.metric("corral_evictions_total") == 2, 5, "two evictions")
    held = server.metric("corral_memory_held_bytes", device="cpu")
    assert 0 < held <= server.metric("corral_memory_budget_bytes", device="cpu")


def test_what_fits_stays(pair):
    server = pair(memory="4GiB")
    for model in ("one", "two", "one"):
        ask(server, model)
    assert names(server) == ["one", "two"]
    assert server.metric("corral_evictions_total") == 0


def own_load_time(command, folder):
    """How long llama-server itself takes from its start until it serves."""
    with httpx.Client() as client:
        port = int(command[command.index("--port") + 1])
        start = time.perf_counter()
        with open(folder / "engine.log", "wb") as log:
            engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                        return time.perf_counter() - start
                time.sleep(0.002)
        finally:
            engine.kill()
            engine.wait()


def test_a_swap_costs_little_more_than_the_load(pair, tmp_path, capsys):
    server = pair()
    ask(server, "one")
    (engine,) = server.engines()
    command = engine.cmdline()
    swaps, warm, loads = [], [], []
    for turn in range(6):
        model = ("two", "one")[turn % 2]
        for times in (swaps, warm):
            start = time.perf_counter()
            ask(server, model, max_tokens=1)
            times.append(time.perf_counter() - start)
        loads.append(own_load_time(command, tmp_path))
    # What else the machine does adds to most of them, but seldom to all.
    took, load = min(swaps), min(loads)
    overhead = took - load - min(warm)
    with capsys.disabled():
        print(f"\nswap {took * 1000:.0f} ms, llama-server's own load {load * 1000:.0f} ms, "
              f"overhead {overhead * 1000:.0f} ms")
    assert overhead < 3, "the goal is 0.1 s on a machine that does nothing else"


class Alternating:
    """Clients that ask one model and then the other, without a pause: for so long, or so often each."""

    def __init__(self, server, clients, seconds=1000, each=1_000_000, gate=contextlib.nullcontext):
        """`gate(model)` is what each request goes through, as a block."""
        self.server, self.each, self.gate = server, each, gate
        begun = time.monotonic()
        self.end = begun + seconds
        self.answers, self.longest, self.problems = 0, 0.0, []
        self.lock = threading.Lock()
        threads = [threading.Thread(target=self.client, args=(number,)) for number in range(clients)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.seconds = time.monotonic() - begun

    def client(self, number):
        turn = number
        with httpx.Client(timeout=120) as client:
            while time.monotonic() < self.end and turn < number + self.each:
                model = ("one", "two")[turn % 2]
                body = {"model": model, "max_tokens": 1, "temperature": 0,
                        "messages": [{"role": "user", "content": "Hello!"}]}
                start = time.monotonic()
                with self.gate(model):
                    answer = client.post(self.server.url + CHAT, json=body)
                ended = time.monotonic()
                with self.lock:
                    if answer.status_code != 200:
                        self.problems.append(answer.text)
                        return
                    if ended <= self.end:
                        self.answers += 1
                    self.longest = max(self.longest, ended - start)
                turn += 1


@pytest.mark.timeout(400)
def test_grouping_gives_more_answers_than_first_come_first_served(pair, capsys):
    limit = 20
    runs, swaps = {}, {}
    for name, turn_limit in (("first come", "0s"), ("grouped", f"{limit}s")):
        server = pair(scheduler=f"  turn_limit: {turn_limit}\n")
        ask(server, "one")
        runs[name] = Alternating(server, 10, each=3)
        assert runs[name].problems == []
        swaps[name] = server.metric("corral_evictions_total")
        load = (server.metric("corral_model_load_seconds_sum") / server.metric("corral_model_load_seconds_count"))
        server.stop()
    first, grouped = runs["first come"], runs["grouped"]
    with capsys.disabled():
        print(f"\n30 answers: first come first served {first.seconds:.1f} s and {swaps['first come']:.0f} swaps, "
              f"grouped {grouped.seconds:.1f} s and {swaps['grouped']:.0f} swaps, longest wait {grouped.longest:.1f} s")
    # How much longer a swap takes than an answer depends on the machine and what else it does
    # (bench/placement measures for two minutes); how many there are does not.
    assert swaps["first come"] >= 2 * swaps["grouped"]
    assert grouped.longest < limit + 2 + 2 * load


def test_a_model_in_use_gives_way_after_its_turn(pair):
    server = pair(scheduler="  turn_limit: 1s\n")
    ask(server, "one")
    stop = threading.Event()
    problems = []

    def hammer():
        while not stop.is_set():
            answer = server.chat(model="one", max_tokens=50, ignore_eos=True)
            if answer.status_code != 200:
                problems.append(answer.text)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for one in threads:
        one.start()
    time.sleep(0.5)
    start = time.monotonic()
    ask(server, "two")
    waited = time.monotonic() - start
    stop.set()
    for one in threads:
        one.join()
    assert problems == []
    assert waited < 15
    assert server.metric("corral_turns_ended_total") >= 1


def test_a_busy_one_is_not_stopped_and_ps_says_why_the_other_waits(pair):
    server = pair()
    with long_answer(server, "one") as events:
        waiting = threading.Thread(target=lambda: ask(server, "two"))
        waiting.start()
        wait_until(lambda: server.metric("corral_waiting_for_room") == 1, 10, "the second model to wait")
        shown = server.cli("ps").stdout
        assert "two is waited for: it needs" in shown and "held by one" in shown, shown
        assert names(server) == ["one"]
        next(events)  # still answering
    waiting.join(60)
    assert not waiting.is_alive()
    assert names(server) == ["two"]


def test_a_caller_who_leaves_waits_no_more(pair):
    server = pair()
    with long_answer(server, "one") as events:
        with pytest.raises(httpx.TimeoutException):
            server.post(CHAT, {"model": "two", "messages": [{"role": "user", "content": "Hi"}]}, timeout=1)
        wait_until(lambda: server.metric("corral_waiting_for_room") == 0
                   and "two" not in server.cli("ps").stdout, 10, "nobody to wait")
        next(events)
    time.sleep(0.5)
    assert names(server) == ["one"]


def test_stop_waits_for_the_engine_to_end_and_the_memory_is_back(pair):
    server = pair()
    process = psutil.Process(server.process.pid)

    def resident():
        return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])

    ask(server, "one")
    assert server.cli("stop", "one").returncode == 0
    before = resident()
    ask(server, "two")
    assert resident() > before * 1.05
    stopped = server.cli("stop", "two")
    assert stopped.stdout == "two is unloaded\n", stopped.stdout + stopped.stderr
    assert server.engines() == []
    # A sanitizer (to be known by its terabytes of address space) keeps what was freed for a while.
    slack = 64 << 20 if process.memory_info().vms > 1 << 40 else 0
    assert resident() <= before * 1.05 + slack


def test_what_never_fits_is_refused_with_the_numbers(pair, budget):
    server = pair(memory="4GiB", more="""
endpoints:
  - {name: neighbour, binding: openai, url: 'http://127.0.0.1:1', models: [far], device: cpu, memory: 4080MiB}
""")
    answer = server.chat(model="one")
    assert answer.status_code == 503
    assert "MiB" in answer.json()["error"]["message"], answer.text
    assert server.metric("corral_memory_leased_bytes", device="cpu") == 4080 << 20


def test_three_crashes_and_the_fallback_takes_over(fresh, folder, tmp_path):
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/sh\necho started >> runs\necho 'E the tensor is upside down' >&2\nexit 134\n")
    broken.chmod(0o755)
    with FakeUpstream(models=("far",)) as far:
        server = fresh(models=folder, env={"CORRAL_ENGINES_LLAMA_SERVER_PATH": str(broken)}, config=f"""
engines:
  llama_server: {{restart_backoff: 20ms}}
endpoints:
  - {{name: far, binding: openai, url: '{far.url}', models: [far]}}
routes:
  - {{name: safe, targets: [{{endpoint: local, model: one}}], fallbacks: [far]}}
""").start()
        assert server.chat(model="safe").status_code == 200
        assert [path for path, *_ in far.requests if path.endswith("/chat/completions")] == [CHAT]
    assert (server.folder / "runs").read_text().count("started") == 3
    shown = server.get("/admin/v1/models/one").json()
    assert shown["state"] == "failed"
    assert "the tensor is upside down" in shown["error"], shown["error"]
