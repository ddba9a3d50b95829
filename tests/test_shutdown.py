"""How the server ends."""

import signal
import threading
import time

import httpx
import pytest

from harness import slow_model
from harness.corral import Corral, sse, wait_until

pytestmark = pytest.mark.alone

CHAT = "/v1/chat/completions"


def streaming(server, max_tokens, seen):
    body = {"model": "slow", "stream": True, "max_tokens": max_tokens, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Hello!"}]}

    def read():
        try:
            with httpx.stream("POST", server.url + CHAT, json=body, timeout=60) as response:
                for event in sse(response.iter_lines()):
                    seen.append(event)
        except httpx.HTTPError as problem:
            seen.append(problem)

    thread = threading.Thread(target=read)
    thread.start()
    wait_until(lambda: len(seen) > 3, 30, "the stream to begin")
    return thread


def slow_server(folder, grace="30s"):
    config = f"server:\n  shutdown_grace: {grace}\nmodels:\n  settings:\n    slow: {{context: 8192, slots: 2}}\n"
    return Corral(folder, models=slow_model.folder(), config=config)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0(tmp_path, number):
    with Corral(tmp_path) as server:
        assert server.chat().status_code == 200
        server.remember_children()
        server.process.send_signal(number)
        assert server.wait(15) == 0
        server.assert_no_orphans()


def test_streams_finish_and_new_connections_are_refused(tmp_path):
    with slow_server(tmp_path) as server:
        seen = []
        thread = streaming(server, 300, seen)
        server.remember_children()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("(?i)shutting down")
        time.sleep(0.2)
        assert server.process.poll() is None
        with pytest.raises(httpx.ConnectError):
            server.get("/health")
        thread.join(60)
        assert seen[-1] == "[DONE]"
        assert server.wait(15) == 0
        server.assert_no_orphans()


def test_after_the_grace_time_streams_are_cut(tmp_path):
    with slow_server(tmp_path, grace="1s") as server:
        seen = []
        thread = streaming(server, 7000, seen)
        server.remember_children()
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert 0.9 < time.monotonic() - start < 12
        thread.join(10)
        assert seen[-1] != "[DONE]"
        server.assert_no_orphans()


def test_a_second_signal_ends_at_once(tmp_path):
    with slow_server(tmp_path) as server:
        seen = []
        thread = streaming(server, 7000, seen)
        server.remember_children()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("(?i)shutting down")
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(5) != 0
        assert time.monotonic() - start < 2
        thread.join(10)
        server.assert_no_orphans()


def test_a_keep_alive_connection_does_not_hold_it(tmp_path):
    with Corral(tmp_path) as server, httpx.Client() as client:
        assert client.get(server.url + "/health").status_code == 200
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        assert time.monotonic() - start < 3
