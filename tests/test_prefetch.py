"""Newer versions of what is used most are fetched ahead of anybody, and give way to requests."""

import contextlib
import sqlite3
import time

import pytest

from harness.corral import wait_until
from harness.fake_hub import Hub
from harness.pulling import MIB, blob_is_whole, pulled
from harness.small_gguf import small_gguf

DAY = 24 * 3600


@pytest.fixture
def hub():
    with Hub() as made:
        yield made


def prefetching(fresh, hub):
    return fresh(config=hub.config(connections=1, prefetch="true", prefetch_after="1s"))


def used_for_days(server, *names):
    """Writes down that these models were used on each of the last three days, the first one most."""
    server.stop()
    today = int(time.time()) // DAY
    with contextlib.closing(sqlite3.connect(server.data / "corral.db")) as database, database:
        for place, name in enumerate(names):
            for day in range(today - 3, today):
                database.execute(
                    "insert into model_usage values (?, ?, ?, 1, 1, ?)", (name, day, 90 - place, day * DAY * 1000)
                )
    server.urls.clear()
    server.start()


def operations(server):
    return server.get("/admin/v1/operations").json()["operations"]


def version(server, name="lab%2Ftiny"):
    return server.get(f"/admin/v1/models/{name}/versions").json()["versions"][0]["version"]


def test_a_newer_version_comes_ahead_and_gives_way_to_requests(fresh, hub):
    hub.one("lab", "tiny", small_gguf(MIB, seed=1))
    server = prefetching(fresh, hub).start()
    pulled(server, "lab/tiny")
    newer = small_gguf(6 * MIB, seed=2)
    hub.one("lab", "tiny", newer)
    hub.faults.rate = MIB // 2
    used_for_days(server, "lab/tiny")
    first = wait_until(
        lambda: [each for each in operations(server) if each["state"] == "running" and each["bytes_done"] > 0],
        30,
        "the newer version's first bytes",
    )[0]
    assert first["target"] == "lab/tiny"
    # A request comes, and is answered; the bytes wait.
    assert server.chat(max_tokens=4).status_code == 200
    found = wait_until(
        lambda: [each for each in operations(server) if each["id"] == first["id"] and each["state"] == "paused"],
        10,
        "the pause",
    )[0]
    assert 0 < found["bytes_done"] < len(newer)
    assert version(server) == 1
    # Nothing more is asked: it goes on by itself.
    hub.faults.rate = 0
    wait_until(lambda: version(server) == 2, 60, "the newer version")
    assert blob_is_whole(server, newer)
    assert [each["state"] for each in operations(server) if each["id"] == first["id"]] == ["succeeded"]
    for line in ("prefetch: fetching", "prefetch: goes on"):
        wait_until(lambda line=line: line in server.log_text(), 5, line)
