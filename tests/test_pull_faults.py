"""Fetching models from sources that fail and lie, onto disks that are full."""

import socket
import subprocess

import pytest

from harness.fake_hub import Faults, Hub
from harness.pulling import MIB, act, blob_is_whole, blobs, ended, pulled, refused
from harness.small_gguf import small_gguf


@pytest.fixture
def hub():
    with Hub() as made:
        yield made


@pytest.fixture
def data():
    return small_gguf(6 * MIB)


# --- sources that fail and lie


FAULTS_THAT_PASS = {
    "no ranges": Faults(ranges=False),
    "no ranges, chunked": Faults(ranges=False, chunked=True),
    "cuts": Faults(cut_after=600_000),
    "no ranges and cut once": Faults(ranges=False, cut_after=600_000, cuts=1),
    "503 for a while": Faults(status=503, failures=3),
    "429 for a while": Faults(status=429, failures=2),
    "no ETag": Faults(no_tag=True),
    "redirects": Faults(relative_redirects=9),
    "silence": Faults(stall_after=4 * MIB, cuts=0),
}


@pytest.mark.parametrize("name", FAULTS_THAT_PASS)
def test_a_fault_that_passes(fresh, hub, name, data):
    hub.one("lab", "tiny", data)
    hub.faults = FAULTS_THAT_PASS[name]
    server = fresh(config=hub.config()).start()
    pulled(server, "lab/tiny")
    assert blob_is_whole(server, data)


FAULTS_THAT_STAY = {
    "wrong bytes": (Faults(wrong_bytes=True), "checksum"),
    "more than promised": (Faults(extra_bytes=10), "promised"),
    "more than promised, no ranges": (Faults(ranges=False, extra_bytes=10), "promised"),
    "wrong ranges": (Faults(lie_range=True), "cannot be used"),
    "a length that is none": (Faults(ranges=False, lie_length=100), "promised"),
    "500 for ever": (Faults(status=500), "status 500"),
    "not found": (Faults(status=404), "does not have"),
    "forbidden": (Faults(status=403), "does not give"),
    "too many redirects": (Faults(relative_redirects=1000), "redirects too often"),
    "cut for ever": (Faults(ranges=False, cut_after=1000), "cut"),
}


@pytest.mark.parametrize("name", FAULTS_THAT_STAY)
def test_a_fault_that_stays(fresh, hub, name):
    data = small_gguf(MIB)
    hub.one("lab", "tiny", data)
    hub.faults, expected = FAULTS_THAT_STAY[name]
    server = fresh(config=hub.config(tries=3)).start()
    error = refused(server, "lab/tiny")
    assert expected in error, error
    assert blobs(server) == set()
    hub.faults = Faults()
    identifier = server.get("/admin/v1/operations").json()["operations"][0]["id"]
    act(server, identifier, "resume")
    assert ended(server, identifier)["state"] == "succeeded"


def test_a_file_that_changes_begins_anew(fresh, hub, data):
    hub.one("lab", "tiny", data, sha256="")
    changed = data[:-1] + bytes([data[-1] ^ 1])
    hub.faults = Faults(cut_after=MIB, cuts=2, change_after=2)
    server = fresh(config=hub.config(connections=1)).start()
    pulled(server, "lab/tiny")
    assert blob_is_whole(server, changed)


def test_what_is_no_model_is_refused(fresh, hub):
    hub.one("lab", "page", b"<html>" + b"x" * MIB)
    hub.folder("torn", [{"name": "torn", "files": [{"path": "torn.gguf"}]}], {"torn.gguf": small_gguf(MIB)[: MIB // 2]})
    server = fresh(config=hub.config()).start()
    assert "not a GGUF" in refused(server, "lab/page")
    assert "no model file" in refused(server, "torn/torn")
    assert blobs(server) == set()


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "http://[::1]:{port}/x",
        "http://0.0.0.0:{port}/x",
        "http://169.254.169.254/latest",
        "ftp://x/y",
        "http://user:word@127.0.0.1/x",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(fresh, hub, to):
    data = small_gguf(MIB)
    hub.one("lab", "tiny", data)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        other.settimeout(0.2)
        hub.faults.redirect = to.format(port=other.getsockname()[1])
        server = fresh(config=hub.config()).start()
        error = refused(server, "lab/tiny")
        assert "private" in error or "URL" in error, error
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.parametrize(
    "path",
    [
        "../../evil.gguf",
        "/etc/evil.gguf",
        "a/../../evil.gguf",
        "a\\b.gguf",
        ".hidden.gguf",
        "a\n.gguf",
        "",
        "a//b.gguf",
    ],
)
def test_path_tricks_are_refused(fresh, hub, path):
    data = small_gguf(MIB)
    hub.folder("lab", [{"name": "evil", "files": [{"path": path, "size": len(data)}]}], {})
    hub.repository("acme/evil-GGUF", {path or "x": data})
    server = fresh(config=hub.config()).start()
    refused(server, "lab/evil")
    refused(server, "hf:acme/evil-GGUF")
    assert not hub.seen
    assert not list(server.folder.rglob("*evil*"))


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "../x",
        "a b",
        "hf:",
        "hf:acme",
        "hf:acme/x/../y.gguf",
        "hf:../..",
        "http://",
        "https://host/x.txt",
        "x:y:z",
        "a/b/c",
        "\u0007",
    ],
)
def test_a_reference_that_means_nothing(fresh, hub, reference):
    server = fresh(config=hub.config()).start()
    answer = server.post("/admin/v1/pulls", {"model": reference})
    if answer.status_code == 202:
        found = ended(server, answer.json()["id"])
        assert found["state"] == "failed" and found["error"]
    else:
        assert answer.status_code == 400 and answer.json()["detail"]


def test_bad_requests(fresh, hub):
    server = fresh(config=hub.config()).start()
    for body in ({}, {"model": 1}, {"model": "x", "other": 1}, [], {"model": "x", "name": "../x"}):
        assert server.post("/admin/v1/pulls", body).status_code == 400, body
    assert server.get("/admin/v1/search").status_code == 400
    assert server.get("/admin/v1/pulls/plan").status_code == 400
    assert server.get("/admin/v1/operations/none/events").status_code == 404


# --- the disk


def test_a_full_disk_is_said_first(fresh, hub, data):
    hub.one("lab", "tiny", data)
    server = fresh(config=hub.config(keep_free="900TiB")).start()
    error = refused(server, "lab/tiny")
    assert "keep_free" in error and "needed" in error
    assert not hub.seen


def test_a_disk_that_refuses_midway(fresh, hub, data):
    hub.one("lab", "tiny", data)
    server = fresh(config=hub.config()).start()
    subprocess.run(["prlimit", "--pid", str(server.process.pid), f"--fsize={2 * MIB}:"], check=True)
    error = refused(server, "lab/tiny")
    assert "limit on the size" in error, error
    subprocess.run(["prlimit", "--pid", str(server.process.pid), "--fsize=unlimited:"], check=True)
    identifier = server.get("/admin/v1/operations").json()["operations"][0]["id"]
    act(server, identifier, "resume")
    assert ended(server, identifier)["state"] == "succeeded"
    assert server.chat().status_code == 200
