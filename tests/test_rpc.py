"""One model whose layers lie with two rpc-servers, as they would on two machines."""

import pathlib
import socket
import subprocess

import psutil
import pytest

from harness.corral import MODEL, engine, wait_until

QUESTION = {"text": "Hello!", "temperature": 0, "max_tokens": 16}


class RpcServer:
    """One ggml-rpc-server, found beside the engine."""

    def __init__(self):
        program = pathlib.Path(engine()).parent / "ggml-rpc-server"
        assert program.exists(), "scripts/build-engine puts it beside the engine"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(self.port), "-t", "1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.listens, 20, "the rpc-server to listen")

    def listens(self):
        return any(each.laddr.port == self.port and each.status == psutil.CONN_LISTEN
                   for each in psutil.net_connections("tcp4"))

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def two():
    servers = []
    try:
        servers += [RpcServer(), RpcServer()]
        yield servers
    finally:
        for each in servers:
            each.end()


def config(servers, more=""):
    named = ", ".join(f"'{each.address}'" for each in servers)
    return f"""
engines: {{llama_server: {{restart_backoff: 50ms, restart_backoff_max: 50ms}}}}
models: {{settings: {{{MODEL}: {{rpc: [{named}]{more}}}}}}}
"""


def answer(server):
    reply = server.chat(**QUESTION)
    assert reply.status_code == 200, reply.text
    return reply.json()["choices"][0]["message"]["content"]


def test_the_same_answer_over_two_servers_and_what_becomes_of_a_dead_one(fresh, two):
    alone = answer(fresh().start())
    server = fresh(config=config(two)).start()
    plan = server.get(f"/admin/v1/models/{MODEL}").json()["plan"]
    assert plan["device"] == "RPC0,RPC1"
    assert plan["rpc"] == [each.address for each in two]
    assert plan["device_bytes"] > 0 and plan["devices"] == []
    # Each says what all of this machine has free: they count once, and so does what a model takes of it.
    first, second = sorted(each.address for each in two)
    both = f"{first},{second.split(':')[1]}"
    wait_until(lambda: server.metric("corral_memory_budget_bytes", device=both) > 2**20, 20, "their memory")
    choices = server.get(f"/admin/v1/models/{MODEL}").json()["plan"]["choices"]
    assert any(f"{both} say the same memory" in each["why"] for each in choices), choices
    assert answer(server) == alone
    assert server.metric("corral_memory_held_bytes", device=both) > 0
    (process,) = server.engines()
    assert "-dev RPC0,RPC1" in " ".join(process.cmdline())

    # The engine aborts with its next step, and is not started where one is missing.
    two[1].end()
    assert server.chat(**QUESTION).status_code >= 500
    wait_until(lambda: "one of its rpc-servers is gone" in server.log_text(), 20, "the abort")
    refused = server.chat(**QUESTION)
    assert refused.status_code == 503
    assert two[1].address in refused.text and "cannot be reached" in refused.text
    assert server.engines() == []
    assert server.get("/health/ready").status_code == 200


def test_a_server_that_is_not_there_is_named(fresh, two):
    two[0].end()
    server = fresh(config=config(two)).start()
    refused = server.chat(**QUESTION)
    assert refused.status_code == 503
    assert f"the rpc-server {two[0].address} cannot be reached" in refused.text


@pytest.mark.parametrize("setting, said", [
    ("rpc: ['host']", "is not the address of an rpc-server"),
    ("rpc: ['127.0.0.1:1,127.0.0.1:2']", "is not the address of an rpc-server"),
    ("rpc: ['127.0.0.1:1'], device: cpu", "either on a device of this machine or with rpc-servers"),
])
def test_a_wrong_setting_is_told(fresh, setting, said):
    server = fresh(config=f"models: {{settings: {{{MODEL}: {{{setting}}}}}}}\n").start()
    assert said in server.get(f"/admin/v1/models/{MODEL}").json()["plan"]["error"]
    assert server.chat(**QUESTION).status_code >= 400
