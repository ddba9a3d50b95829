"""Models with several engines: they answer at once, one that is killed costs no answer, and their number follows
the load."""

import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from harness.corral import MODEL, sse, wait_until

CHAT = "/v1/chat/completions"


def config(replicas, more=""):
    """One thread each: engines that share processors wait for each other's threads."""
    return (f"models:\n  settings:\n    {MODEL}: {{{replicas}, slots: 1, context: 1024}}\n"
            f"engines:\n  llama_server: {{threads: 1}}\n{more}")


def instances(server, state="ready"):
    found = server.get("/admin/v1/instances").json()["instances"]
    return [one for one in found if one["state"] == state]


def command(server, *words):
    done = server.cli(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def long_answer(server):
    body = {"model": MODEL, "stream": True, "max_tokens": 900, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}
    with httpx.stream("POST", server.url + CHAT, json=body, timeout=120) as response:
        assert response.status_code == 200, response.read()
        events = sse(response.iter_lines())
        next(events)
        yield response.headers["x-corral-endpoint"]


def test_two_answer_at_once(fresh):
    server = fresh(config=config("min_replicas: 2, max_replicas: 2")).start()
    assert server.engines() == []
    assert server.chat().status_code == 200
    wait_until(lambda: len(instances(server)) == 2, 30, "both engines")
    assert sorted(one["replica"] for one in instances(server)) == [1, 2]
    with long_answer(server) as first, long_answer(server) as second:
        assert first != second
        assert [one["in_flight"] for one in instances(server)] == [1, 1]
    table = command(server, "ps")
    assert f"{MODEL} (2)" in table
    wait_until(lambda: server.metric("corral_engine_ready", model=MODEL, replica="2") == 1, 5, "its metric")
    assert server.metric("corral_replicas", model=MODEL, state="ready") == 2
    command(server, "stop", MODEL)
    assert server.engines() == []


def test_a_killed_one_costs_no_answer(fresh):
    server = fresh(config=config("min_replicas: 2, max_replicas: 2")).start()
    assert server.chat().status_code == 200
    wait_until(lambda: len(instances(server)) == 2, 30, "both engines")
    victim = server.engines()[0].pid
    answered = threading.Semaphore(0)

    def ask(_):
        answer = server.chat(max_tokens=12, ignore_eos=True)
        answered.release()
        return answer

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(ask, range(24))
        for _ in range(6):
            assert answered.acquire(timeout=60)
        os.kill(victim, signal.SIGKILL)
        answers = list(answers)
    assert [answer.status_code for answer in answers] == [200] * 24, [a.text for a in answers if a.status_code != 200]
    wait_until(lambda: len(instances(server)) == 2, 30, "the killed one to be back")
    assert victim not in [one["pid"] for one in instances(server)]


SCALING = """
scheduler:
  autoscale: {enabled: true, cpu_high: 1, wait_target: 5ms, over_target: 1s, cooldown_up: 1s, cooldown_down: 2s}
"""


def test_their_number_follows_the_load(fresh):
    server = fresh(config=config("max_replicas: 2", SCALING)).start()
    assert server.chat().status_code == 200
    assert len(server.engines()) == 1
    assert json.loads(command(server, "--json", "scaling"))["decisions"] == []
    end = threading.Event()

    def load():
        failed = []
        while not end.is_set():
            answer = server.chat(max_tokens=24, ignore_eos=True)
            if answer.status_code != 200:
                failed.append(answer.text)
        return failed

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(load) for _ in range(4)]
        try:
            wait_until(lambda: len(instances(server)) == 2, 40, "another engine")
            time.sleep(1)
        finally:
            end.set()
        assert [worker.result() for worker in workers] == [[]] * 4
    wait_until(lambda: len(server.engines()) == 1, 40, "the other engine to go")
    status = server.get("/admin/v1/scaling").json()
    assert status["enabled"]
    (deployment,) = status["deployments"]
    assert (deployment["ready"], deployment["wanted"], deployment["max_replicas"]) == (1, 1, 2)
    up, down = status["decisions"]
    assert (up["kind"], up["signal"], up["from"], up["to"]) == ("up", "wait", 1, 2)
    assert "waited" in up["reason"] and "over 5ms" in up["reason"]
    assert (down["kind"], down["signal"], down["to"]) == ("down", "idle", 1)
    assert server.metric("corral_scaling_decisions_total", model=MODEL, kind="up", signal="wait") == 1
    table = command(server, "scaling")
    assert "1 to 2" in table and "nothing was asked of it" in table
    assert "requests waited" in server.log_text()
    assert server.chat().status_code == 200
