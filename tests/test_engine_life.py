"""Engines come with the first request and go when idle, crash, and are abandoned by their clients.

Whether an engine still works is read from its processor time: asking it would disturb what is
measured (the engine's own endpoints wake the wait that a disconnect is noticed by).
"""

import json
import os
import signal
import socket
import time

import httpx
import psutil
import pytest

from harness import slow_model
from harness.corral import MODEL, sse, wait_until
from harness.raw import request

pytestmark = pytest.mark.alone

CHAT = "/v1/chat/completions"
SLOW_CONFIG = "models:\n  settings:\n    slow: {context: 8192, slots: 2}\n"


def test_first_request_loads(fresh):
    server = fresh().start()
    assert server.engines() == []
    assert server.chat().status_code == 200
    (engine,) = server.engines()
    assert server.chat().status_code == 200
    assert [one.pid for one in server.engines()] == [engine.pid]


def test_many_first_requests_start_one_engine(fresh):
    from concurrent.futures import ThreadPoolExecutor

    server = fresh().start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.chat(), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(server.engines()) == 1


def test_idle_engine_is_unloaded_and_comes_back(fresh):
    server = fresh(config="models:\n  idle_timeout: 1s\n").start()
    assert server.chat().status_code == 200
    assert len(server.engines()) == 1
    wait_until(lambda: not server.engines(), 10, "the idle engine to go")
    assert server.chat().status_code == 200


def test_crash_mid_stream_is_an_error_event_and_the_next_request_works(fresh):
    server = fresh(models=slow_model.folder(), config=SLOW_CONFIG).start()
    body = {"model": "slow", "stream": True, "max_tokens": 4000, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}
    seen = []
    with httpx.stream("POST", server.url + CHAT, json=body, timeout=60) as response:
        assert response.status_code == 200
        for event in sse(response.iter_lines()):
            seen.append(event)
            if len(seen) == 5:
                (engine,) = server.engines()
                engine.send_signal(signal.SIGKILL)
    error = seen[-1] if seen[-1] != "[DONE]" else seen[-2]
    assert error["error"]["message"]
    assert server.chat(model="slow", max_tokens=4).status_code == 200


def test_crash_of_an_idle_engine_is_not_noticed_by_the_next_request(fresh):
    server = fresh().start()
    assert server.chat().status_code == 200
    (engine,) = server.engines()
    engine.send_signal(signal.SIGKILL)
    assert server.chat().status_code == 200
    assert server.engines()[0].pid != engine.pid


def test_no_orphan_is_left_by_kill_9(fresh):
    server = fresh().start()
    assert server.chat().status_code == 200
    assert len(server.engines()) == 1
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.assert_no_orphans()


def test_an_engine_that_cannot_start_is_a_clear_error(fresh, tmp_path):
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/sh\necho 'this engine is broken' >&2\nexit 1\n")
    broken.chmod(0o755)
    server = fresh(env={"CORRAL_ENGINES_LLAMA_SERVER_PATH": str(broken)}).start()
    start = time.monotonic()
    response = server.chat(timeout=60)
    assert response.status_code in (500, 502, 503), response.text
    assert response.json()["error"]["message"]
    assert time.monotonic() - start < 30
    assert "this engine is broken" in server.log_text()


def test_streams_are_not_held_back(fresh):
    """Chunks arrive while the model works, one after another, not all at the end."""
    server = fresh(models=slow_model.folder(), config=SLOW_CONFIG).start()
    times = []
    body = {"model": "slow", "stream": True, "max_tokens": 60, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}
    with httpx.stream("POST", server.url + CHAT, json=body, timeout=60) as response:
        for _ in sse(response.iter_lines()):
            times.append(time.monotonic())
    spread = times[-1] - times[0]
    assert len(times) > 20
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert max(gaps) < spread / 2, gaps


# --- clients that leave

LONG = "the red horse and the blue bird count to nine " * 500


def leave(server, body, after):
    """Sends the request over a socket of its own and closes it after `after(socket)` returns."""
    one = socket.create_connection(server.address, timeout=60)
    one.sendall(request("POST", CHAT, ["Content-Type: application/json"], json.dumps(body).encode()))
    after(one)
    one.close()


def busy(engine, seconds=0.3):
    """The share of a processor that the engine uses now."""
    before = sum(engine.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(engine.cpu_times()[:2]) - before) / seconds


def assert_engine_rests_within_a_second(engine):
    left = time.monotonic()
    wait_until(lambda: busy(engine, 0.1) < 0.2, 1.4, "the engine to stop working")
    took = time.monotonic() - left
    assert busy(engine) < 0.2, f"the engine works again {took:.1f} s after its client left"


@pytest.fixture
def slow(fresh):
    server = fresh(models=slow_model.folder(), config=SLOW_CONFIG).start()
    assert server.chat(model="slow", max_tokens=1).status_code == 200
    (engine,) = server.engines()
    wait_until(lambda: busy(engine) < 0.1, 10, "the engine to rest after its first request")
    return server, psutil.Process(engine.pid)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_client_leaves_midway(slow, stream):
    server, engine = slow
    body = {"model": "slow", "stream": stream, "max_tokens": 6000, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}
    leave(server, body, lambda one: time.sleep(0.7))
    assert_engine_rests_within_a_second(engine)
    assert server.chat(model="slow", max_tokens=2).status_code == 200


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_client_leaves_in_prefill(slow, stream):
    server, engine = slow
    body = {"model": "slow", "stream": stream, "max_tokens": 6000, "ignore_eos": True,
            "messages": [{"role": "user", "content": LONG}]}
    leave(server, body, lambda one: wait_until(lambda: busy(engine, 0.1) > 0.5, 10, "the prefill to begin"))
    assert_engine_rests_within_a_second(engine)
    assert server.chat(model="slow", max_tokens=2).status_code == 200


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_client_leaves_while_others_stream(slow, stream):
    """The engine notices a left client late while another is served: Corral must see to it.

    The other stream is short enough to end; from then on the engine must rest, which it would not if
    the request of the client that left were still running.
    """
    server, engine = slow
    other = {"model": "slow", "stream": True, "max_tokens": 150, "ignore_eos": True,
             "messages": [{"role": "user", "content": "Hello!"}]}
    left = dict(other, stream=stream, max_tokens=6000)
    with httpx.stream("POST", server.url + CHAT, json=other, timeout=60) as response:
        events = sse(response.iter_lines())
        next(events)
        leave(server, left, lambda one: time.sleep(0.5))
        rest = list(events)
    assert rest[-1] == "[DONE]"
    assert_engine_rests_within_a_second(engine)


def test_a_client_that_left_is_not_an_error_of_ours(slow):
    server, engine = slow
    body = {"model": "slow", "stream": True, "max_tokens": 6000, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}
    leave(server, body, lambda one: one.recv(200))
    assert_engine_rests_within_a_second(engine)
    wait_until(lambda: server.metric("corral_requests_in_flight") <= 1, 5, "the request to be over")
    assert server.metric("corral_bugs") == 0


def test_a_model_put_into_the_folder_appears(fresh, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    server = fresh(models=folder).start()
    assert server.get("/v1/models").json()["data"] == []
    source = slow_model.MODELS / f"{MODEL}.gguf"
    (folder / "other.gguf").write_bytes(source.read_bytes())
    wait_until(
        lambda: [one["id"] for one in server.get("/v1/models").json()["data"]] == ["other"], 10, "the new model"
    )
    assert server.chat(model="other").status_code == 200
    (folder / "other.gguf").unlink()
    wait_until(lambda: server.get("/v1/models").json()["data"] == [], 10, "the model to go")
