"""Fetching models: from each kind of source, over crashes and restarts."""

import os
import random
import signal
import subprocess
import time

import pytest

from harness.corral import run_cli, sse, wait_until
from harness.fake_hub import Hub, sha256
from harness.pulling import MIB, act, blob_is_whole, blobs, ended, operation, partials, pull, pulled, refused
from harness.small_gguf import small_gguf

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("CORRAL_PULL_KILLS", "8"))


@pytest.fixture
def hub():
    with Hub() as made:
        yield made


@pytest.fixture
def data():
    return small_gguf(6 * MIB)


# --- the three kinds of sources


def test_from_hugging_face(fresh, hub, data):
    other = small_gguf(MIB, seed=2)
    commit = hub.repository(
        "acme/tiny-GGUF",
        {"README.md": b"#", "tiny-Q8_0.gguf": other, "tiny-Q4_K_M.gguf": data, "mmproj-F16.gguf": other},
        license="mit",
    )
    server = fresh(config=hub.config()).start()
    found = pulled(server, "hf:acme/tiny-GGUF")
    assert found["model"] == "hf.co/acme/tiny-GGUF:Q4_K_M"
    assert [each["role"] for each in found["files"]] == ["weights", "projector"]
    assert blob_is_whole(server, data) and blob_is_whole(server, other)
    assert partials(server) == set()
    assert all(f"/resolve/{commit}/" in each.path for each in hub.seen)
    pulled(server, "hf.co/acme/tiny-GGUF:q8_0")
    pulled(server, "https://huggingface.co/acme/tiny-GGUF/blob/main/tiny-Q8_0.gguf", name="eight")
    error = refused(server, "hf:acme/tiny-GGUF:Q2_K")
    assert "Q4_K_M" in error and "Q8_0" in error
    assert "no repository" in refused(server, "hf:acme/none")


def test_a_split_model_has_all_its_parts(fresh, hub):
    parts = {f"big-Q4_K_M-0000{i + 1}-of-00003.gguf": small_gguf(MIB, seed=i, split=(i, 3)) for i in range(3)}
    hub.repository("acme/big-GGUF", dict(reversed(parts.items())))
    server = fresh(config=hub.config()).start()
    found = pulled(server, "hf:acme/big-GGUF")
    assert [each["name"] for each in found["files"]] == list(parts)


def test_gated_needs_a_token_and_it_stays_with_its_host(fresh, data):
    with Hub(token="hf_secret_word") as hub, Hub(host="127.0.0.1") as cdn:
        hub.repository("acme/gated-GGUF", {"tiny-Q4_K_M.gguf": data}, gated="manual")
        cdn.one("cdn", "file", data)
        hub.faults.redirect = f"{cdn.url}/folder/cdn/file.gguf"
        without = hub.config().replace("  hugging_face_token: hf_secret_word\n", "")
        error = refused(fresh(config=without).start(), "hf:acme/gated-GGUF")
        assert "token" in error and "licence" in error
        allowed = hub.config() + ""
        allowed = allowed.replace("sources:", f"sources:\n  private_hosts: ['127.0.0.1:{cdn.port}']")
        server = fresh(config=allowed).start()
        pulled(server, "hf:acme/gated-GGUF")
        assert any(each.authorization == "Bearer hf_secret_word" for each in hub.seen)
        assert cdn.seen and not any(each.authorization for each in cdn.seen)
        assert "hf_secret_word" not in server.log_text()


def test_from_the_ollama_library(fresh, hub, data):
    hub.library("tiny", "1b", {"license": b"MIT", "model": data, "template": b"{{ .Prompt }}", "params": b"{}"})
    server = fresh(config=hub.config()).start()
    found = pulled(server, "tiny:1b")
    assert found["model"] == "tiny:1b"
    roles = {each["role"] for each in found["files"]}
    assert roles == {"weights", "chat_template", "license", "parameters"}
    assert "library has no" in refused(server, "tiny:7b")
    listed = server.get("/admin/v1/models").json()["models"]
    assert any(each["name"] == "tiny:1b" for each in listed)


def test_from_a_folder_and_a_url(fresh, hub, data):
    hub.one("lab", "tiny", data)
    with Hub() as files:
        files.one("x", "tiny", data)
        config = hub.config().replace("sources:", f"sources:\n  private_hosts: ['127.0.0.1:{files.port}']")
        server = fresh(config=config).start()
        assert pulled(server, "lab/tiny")["model"] == "lab/tiny"
        assert "did you mean" in refused(server, "lab/tny")
        url = f"{files.url}/folder/x/tiny.gguf"
        assert pulled(server, f"{url}#sha256={sha256(data)}")["model"] == "127.0.0.1/tiny"
        assert "checksum" in refused(server, f"{url}#sha256={'0' * 64}")


# --- progress, and people


def test_pause_resume_and_cancel(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = 512 * 1024
    server = fresh(config=hub.config(connections=2)).start()
    one = pull(server, "lab/tiny")
    wait_until(lambda: operation(server, one)["bytes_done"] > 0, 20, "bytes")
    assert act(server, one, "pause").json()["state"] == "paused"
    had = operation(server, one)["bytes_done"]
    assert 0 < had < len(data)
    assert act(server, one, "pause").status_code == 409
    seen = len(hub.seen)
    hub.faults.rate = 0
    assert act(server, one, "resume").json()["state"] in ("queued", "running")
    assert ended(server, one)["state"] == "succeeded"
    assert len(hub.seen) > seen and not any(each.range.startswith("bytes=0-") for each in hub.seen[seen:])
    assert blob_is_whole(server, data)
    assert act(server, one, "cancel").status_code == 409
    hub.one("other", "tiny", small_gguf(6 * MIB, seed=9))
    hub.faults.rate = 256 * 1024
    hub.state.folders["lab"] = hub.state.folders["other"]
    hub.state.files["/folder/lab/tiny.gguf"] = hub.state.files["/folder/other/tiny.gguf"]
    two = pull(server, "lab/tiny")
    wait_until(lambda: operation(server, two)["bytes_done"] > 0, 20, "bytes")
    assert act(server, two, "cancel").json()["state"] == "cancelled"
    assert partials(server) == set()
    assert act(server, "pull-00000000", "cancel").status_code == 404


def test_events_and_the_command_line(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = 2 * MIB
    server = fresh(config=hub.config()).start()
    shown = server.cli("pull", "lab/tiny")
    assert shown.returncode == 0, shown.stderr
    assert "lab/tiny is here" in shown.stdout
    assert "downloading" in shown.stderr and "\r" not in shown.stderr
    table = server.cli("operations")
    assert "succeeded" in table.stdout
    events = list(sse(server.get(f"/admin/v1/operations/{pull(server, 'lab/tiny')}/events").text.splitlines()))
    assert events[-1]["state"] == "succeeded" and events[-1]["bytes_done"] == len(data)
    plan = server.cli("pull", "--dry-run", "lab/tiny")
    assert "tiny.gguf" in plan.stdout and "weights" in plan.stdout
    found = server.cli("search", "tin")
    assert "lab/tiny" in found.stdout
    wrong = server.cli("pull", "lab/none")
    assert wrong.returncode == 1 and "has no 'none'" in wrong.stderr
    assert server.cli("operations", "cancel", "pull-00000000").returncode == 4


def test_ctrl_c_leaves_the_pull_running(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = MIB
    server = fresh(config=hub.config(connections=1)).start()
    from harness.corral import binary, clean_environment

    shown = subprocess.Popen(
        [str(binary()), "--server", server.url, "pull", "lab/tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    wait_until(lambda: hub.seen, 10, "the download")
    time.sleep(0.5)
    shown.send_signal(signal.SIGINT)
    _, said = shown.communicate(timeout=10)
    assert shown.returncode == 130 and "goes on in the server" in said
    found = server.get("/admin/v1/operations").json()["operations"][0]
    assert ended(server, found["id"])["state"] == "succeeded"


def test_the_bandwidth_is_limited(fresh, hub, data):
    hub.one("lab", "tiny", data)
    server = fresh(config=hub.config(bandwidth="2MiB")).start()
    began = time.monotonic()
    pulled(server, "lab/tiny")
    took = time.monotonic() - began
    assert took > len(data) / (2 * MIB) * 0.8, took


# --- crashes


def test_it_survives_kills(fresh, hub, capsys):
    data = small_gguf(24 * MIB, seed=5)
    hub.one("lab", "tiny", data)
    hub.faults.rate = int(len(data) / (KILLS * 1.1 * 3))  # of three connections: it lasts that long
    chance = random.Random(4)
    server = fresh(config=hub.config(connections=3)).start()
    identifier = pull(server, "lab/tiny")
    kills = 0
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.05, 1.6))
        state = operation(server, identifier)["state"]
        server.process.kill()
        server.process.wait()
        kills += 1
        server.reader.join()
        server.urls.clear()
        there = {each for each in blobs(server)}
        assert there <= {f"sha256-{sha256(data)}"}, there
        if there:
            assert blob_is_whole(server, data)
        if state == "succeeded":
            break
        server.start()
        found = server.get("/admin/v1/operations").json()["operations"]
        if not found:
            break  # it was done, and the record gone, when the kill came
    with capsys.disabled():
        print(f"\nkilled {kills} times")
    assert kills > KILLS // 2, kills
    if server.process.poll() is not None:
        server.start()
    hub.faults.rate = 0
    left = server.get("/admin/v1/operations").json()["operations"]
    if left:
        assert ended(server, identifier)["state"] == "succeeded"
    assert blob_is_whole(server, data)
    assert partials(server) == set()
    names = [each["name"] for each in server.get("/admin/v1/models").json()["models"]]
    assert "lab/tiny" in names


def test_a_paused_pull_stays_paused_over_a_restart(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = 512 * 1024
    server = fresh(config=hub.config()).start()
    identifier = pull(server, "lab/tiny")
    wait_until(lambda: operation(server, identifier)["bytes_done"] > 0, 20, "bytes")
    act(server, identifier, "pause")
    had = operation(server, identifier)["bytes_done"]
    server.stop()
    server.urls.clear()
    server.start()
    found = operation(server, identifier)
    assert found["state"] == "paused" and found["bytes_done"] == had
    hub.faults.rate = 0
    act(server, identifier, "resume")
    assert ended(server, identifier)["state"] == "succeeded"


def test_no_unfinished_file_is_a_model(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = MIB
    server = fresh(config=hub.config()).start()
    identifier = pull(server, "lab/tiny")
    wait_until(lambda: operation(server, identifier)["bytes_done"] > 0, 20, "bytes")
    names = [each["name"] for each in server.get("/admin/v1/models").json()["models"]]
    assert names == ["corral-tiny"]
    assert blobs(server) == set()
    act(server, identifier, "cancel")


def test_two_pulls_of_the_same_are_one(fresh, hub, data):
    hub.one("lab", "tiny", data)
    hub.faults.rate = MIB
    server = fresh(config=hub.config()).start()
    one = pull(server, "lab/tiny")
    assert pull(server, "lab/tiny") == one
    act(server, one, "cancel")
    assert pull(server, "lab/tiny") != one


def test_more_wait_their_turn(fresh, hub):
    files = {f"m{i}": small_gguf(MIB, seed=i) for i in range(4)}
    hub.folder(
        "lab",
        [
            {"name": name, "files": [{"path": f"{name}.gguf", "size": len(data), "sha256": sha256(data)}]}
            for name, data in files.items()
        ],
        {f"{name}.gguf": data for name, data in files.items()},
    )
    hub.faults.rate = 512 * 1024
    server = fresh(config=hub.config(at_once=1)).start()
    every = [pull(server, f"lab/{name}") for name in files]
    states = [operation(server, each)["state"] for each in every]
    assert states.count("running") <= 1 and "queued" in states
    hub.faults.rate = 0
    assert [ended(server, each)["state"] for each in every] == ["succeeded"] * 4


def test_without_a_server_the_command_says_so():
    done = run_cli("--server", "http://127.0.0.1:9", "pull", "x")
    assert done.returncode == 3
