"""Those who wait for a model to be loaded share one load and see how it comes along: streams by comments,
other answers by headers, people on a terminal, and a route with a fallback goes on without it."""

import os
import pty
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from harness.corral import MODEL, MODELS, binary, engine, wait_until
from harness.fake_upstream import FakeUpstream
from harness.small_gguf import small_gguf

CHAT = "/v1/chat/completions"
SLOW = """#!/bin/sh
# The engine, which takes {seconds} s more to start.
case " $* " in *" --port "*) sleep {seconds};; esac
exec {engine} "$@"
"""


def slow_engine(folder, seconds):
    script = folder / "slow-llama-server"
    script.write_text(SLOW.format(seconds=seconds, engine=engine()))
    script.chmod(0o755)
    return str(script)


def with_engine(path):
    return {"CORRAL_ENGINES_LLAMA_SERVER_PATH": str(path)}


def body(model=MODEL, **more):
    return {"model": model, "max_tokens": 2, "messages": [{"role": "user", "content": "Hello!"}]} | more


def stream(server, model=MODEL):
    """The head of a streamed answer, and its lines."""
    with httpx.stream("POST", server.url + CHAT, json=body(model, stream=True), timeout=60) as answer:
        return answer.status_code, answer.headers, list(answer.iter_lines())


def ask(server, model=MODEL):
    return httpx.post(server.url + CHAT, json=body(model), timeout=60)


def test_two_share_one_load_and_see_how_it_comes_along(fresh, tmp_path):
    server = fresh(env=with_engine(slow_engine(tmp_path, 3))).start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(stream, server)
        wait_until(lambda: server.get("/admin/v1/instances").json()["instances"], 10, "the load to begin")
        second = pool.submit(ask, server)
        load = server.get("/admin/v1/instances").json()["instances"][0]["load"]
        shown = server.cli("ps").stdout
        status, headers, lines = first.result()
        answer = second.result()
    assert load["expected_seconds"] > 0
    assert re.search(r"(starting|loading) \d+ s of about \d+", shown), shown
    assert status == 200 and headers["x-corral-queue-position"] == "1"
    comments = [line for line in lines if line.startswith(": loading")]
    assert comments, lines
    assert all(re.fullmatch(r": loading, position 1, (about \d+\.\d s left|for \d+\.\d s now)", each)
               for each in comments), comments
    assert lines.index(comments[-1]) < next(i for i, line in enumerate(lines) if line.startswith("data:"))
    assert "data: [DONE]" in lines
    assert answer.status_code == 200
    assert int(answer.headers["x-corral-queue-position"]) == 2
    assert int(answer.headers["x-corral-queue-wait-ms"]) > 1000
    assert len(server.engines()) == 1
    assert server.metric("corral_engine_starts_total", model=MODEL) == 1
    assert "x-corral-queue-position" not in ask(server).headers


def test_a_stream_hears_for_whose_memory_it_waits(fresh, tmp_path):
    place = tmp_path / "models"
    place.mkdir()
    for name in ("one", "two"):
        (place / f"{name}.gguf").write_bytes((MODELS / f"{MODEL}.gguf").read_bytes())
    server = fresh(models=place, env=with_engine(slow_engine(tmp_path, 1.6)),
                   config="scheduler: {max_models: 1}").start()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, server, "one")
        wait_until(lambda: server.get("/admin/v1/instances").json()["instances"], 10, "the load to begin")
        status, _, lines = pool.submit(stream, server, "two").result()
        assert first.result().status_code == 200
    assert status == 200 and "data: [DONE]" in lines
    room = [line for line in lines if line.startswith(": waiting for room, position 2: ")]
    assert room and "no more than 1 may be loaded at once" in room[0], lines
    assert any(line.startswith(": loading, position 1, ") for line in lines), lines


def on_terminal(server, *words):
    """What the command writes to a terminal of its own, and its exit code."""
    parent, child = pty.openpty()
    command = [str(binary()), *words, "--server", server.url]
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=server.env)
    os.close(child)
    said = []

    def read():
        while True:
            try:
                piece = os.read(parent, 4096)
            except OSError:
                return
            if not piece:
                return
            said.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    code = process.wait(60)
    reader.join(10)
    os.close(parent)
    return code, b"".join(said).decode()


def test_run_and_verify_show_how_far_they_are_on_a_terminal(fresh, tmp_path):
    server = fresh(env=with_engine(slow_engine(tmp_path, 2))).start()
    code, said = on_terminal(server, "run", MODEL, "Hello!", "--no-color")
    assert code == 0, said
    assert re.search(rf"loading {MODEL} \([^)]*\) \.\.\. \(\d+ s of about \d+\)", said), said
    code, said = on_terminal(server, "verify", MODEL, "--no-color")
    assert code == 0, said
    assert "100 %" in said and "is as it was taken in" in said
    operation = server.get("/admin/v1/operations").json()["operations"][0]
    assert operation["kind"] == "verify" and operation["bytes_done"] == operation["bytes_total"] > 0


def test_load_waits_for_the_model_or_lets_it_come(fresh, tmp_path):
    server = fresh(env=with_engine(slow_engine(tmp_path, 2))).start()
    begun = server.cli("load", MODEL, "--detach").stdout
    assert f"{MODEL} is loading" in begun and "corral operations watch load-1" in begun
    assert server.get(f"/admin/v1/models/{MODEL}").json()["state"] == "loading"
    done = server.cli("load", MODEL)
    assert done.returncode == 0 and done.stdout == f"{MODEL} is ready\n" and done.stderr == ""
    assert server.cli("stop", MODEL).stdout == f"{MODEL} is unloaded\n"
    code, said = on_terminal(server, "load", MODEL, "--no-color")
    assert code == 0 and f"{MODEL} is ready" in said, said
    assert re.search(rf"loading {MODEL} \([^)]*\) \.\.\. \(\d+ s of about \d+\)", said), said
    missing = server.cli("load", MODEL + "x")
    assert missing.returncode == 4 and MODEL in missing.stderr


def test_why_an_engine_refuses_a_model_is_said(fresh, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "hollow.gguf").write_bytes(small_gguf(1 << 20))
    server = fresh(models=tmp_path / "models").start()
    refused = server.cli("load", "hollow")
    assert refused.returncode == 1
    assert "could not load the model: key not found" in refused.stderr, refused.stderr
    assert str(tmp_path) not in refused.stderr
    assert "key not found" in server.cli("show", "hollow").stdout


def test_a_check_under_way_can_be_cancelled(fresh, tmp_path):
    place = tmp_path / "models"
    place.mkdir()
    content = (MODELS / f"{MODEL}.gguf").read_bytes()
    (place / "large.gguf").write_bytes(content)
    with (place / "large.gguf").open("r+b") as file:
        file.truncate(8 << 30)  # sparse: it costs no space, and takes long to be read
    server = fresh(models=place).start()
    begun = httpx.post(server.url + "/admin/v1/models/large/verify?wait=0", timeout=30)
    assert begun.status_code == 202, begun.text
    where = server.url + begun.headers["location"]
    wait_until(lambda: httpx.get(where).json().get("bytes_done", 0) > 0, 20, "some bytes to be read")
    assert httpx.get(where).json()["bytes_total"] == 8 << 30
    cancelled = httpx.post(where + "/cancel", timeout=30)
    assert cancelled.status_code == 200, cancelled.text
    wait_until(lambda: httpx.get(where).json()["state"] == "cancelled", 20, "the check to end")


ROUTE = """
engines: {{llama_server: {{restart_backoff: 50ms}}}}
endpoints: [{{name: far, binding: openai, url: '{url}', models: [spare]}}]
routes: [{{name: chat, targets: [{{endpoint: local, model: {model}}}], fallbacks: [spare]}}]
"""


def test_the_fallback_takes_over_when_a_model_of_ours_has_failed(fresh, tmp_path):
    script = tmp_path / "broken-llama-server"
    script.write_text('#!/bin/sh\ncase " $* " in *" --port "*) echo "it is broken" >&2; exit 1;; esac\n'
                      f'exec {engine()} "$@"\n')
    script.chmod(0o755)
    with FakeUpstream() as fake:
        config = ROUTE.format(url=fake.url, model=MODEL)
        server = fresh(env=with_engine(script), config=config).start()
        answer = ask(server, "chat")
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-corral-endpoint"] == "far"
        failed = server.get(f"/admin/v1/models/{MODEL}").json()
        assert failed["state"] == "failed" and "it is broken" in failed["error"]
        started = server.metric("corral_engine_starts_total", model=MODEL)
        # Failed is failed: the next request goes on at once.
        assert ask(server, "chat").headers["x-corral-endpoint"] == "far"
        assert server.metric("corral_engine_starts_total", model=MODEL) == started
        assert ask(server, MODEL).status_code == 503
