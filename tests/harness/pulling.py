"""Asks a server for pulls over its admin API, and looks at what lies on its disk."""

import hashlib

from harness.corral import wait_until
from harness.fake_hub import sha256

MIB = 1 << 20
DONE = ("succeeded", "failed", "cancelled")


def pull(server, reference, **more):
    answer = server.post("/admin/v1/pulls", {"model": reference} | more)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def operation(server, identifier):
    return server.get(f"/admin/v1/operations/{identifier}").json()


def ended(server, identifier, timeout=60):
    return wait_until(lambda: (found := operation(server, identifier))["state"] in DONE and found, timeout, identifier)


def pulled(server, reference, **more):
    found = ended(server, pull(server, reference, **more))
    assert found["state"] == "succeeded", found["error"]
    return found


def refused(server, reference, **more):
    found = ended(server, pull(server, reference, **more))
    assert found["state"] == "failed", found
    return found["error"]


def blobs(server):
    folder = server.data / "blobs"
    return {each.name for each in folder.iterdir() if each.is_file()}


def partials(server):
    return {each.name for each in (server.data / "blobs" / "partial").iterdir()}


def blob_is_whole(server, data):
    path = server.data / "blobs" / f"sha256-{sha256(data)}"
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256(data)


def act(server, identifier, action):
    return server.post(f"/admin/v1/operations/{identifier}/{action}")
