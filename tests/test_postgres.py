"""The whole program on a real PostgreSQL: endpoints and routes over the admin API, two processes on
one database, and a database that goes away."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.corral import Corral, wait_until
from harness.fake_upstream import FakeUpstream
from harness.services import PASSWORD, Postgres

pytestmark = pytest.mark.long

FOLLOW = 5  # seconds within which a change is seen by other processes
CONFIG = "gateway: {health: {probe_interval: 0s}}\n"


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as one:
        yield one


@pytest.fixture
def upstream():
    with FakeUpstream(tokens=5) as one:
        yield one


@pytest.fixture
def corrals(tmp_path, postgres):
    """Makes servers on one empty database."""
    name = f"test_{time.monotonic_ns()}"
    psql(postgres, f"create database {name}")
    url = postgres.url.rsplit("/", 1)[0] + "/" + name
    with contextlib.ExitStack() as stack:
        made = 0

        def make():
            nonlocal made
            made += 1
            server = Corral(tmp_path / f"corral{made}", config=CONFIG, env={"CORRAL_STORE_URL": url})
            # The key that seals secrets is the same on all machines.
            first = tmp_path / "corral1" / "data" / "secrets.key"
            if first.exists():
                server.data.mkdir(parents=True, exist_ok=True)
                (server.data / "secrets.key").write_bytes(first.read_bytes())
                (server.data / "secrets.key").chmod(0o600)
            return stack.enter_context(server)

        yield make


def psql(postgres, statement):
    postgres.run("psql", "-h", str(postgres.folder), "-p", str(postgres.port), "-U", "corral", "-d", "postgres",
                 "-c", statement)


def endpoint(upstream, name="far", **more):
    return {"name": name, "binding": "openai", "url": upstream.url, "api_key": "sk-quite-secret", **more}


def route(name="chat", target="far"):
    return {"name": name, "targets": [{"endpoint": target, "model": "backend-m"}]}


def add(server, upstream):
    made = server.post("/admin/v1/endpoints", endpoint(upstream))
    assert made.status_code == 201, made.text
    made = server.post("/admin/v1/routes", route())
    assert made.status_code == 201, made.text


def asks(server, model="chat"):
    return server.post("/v1/chat/completions",
                       {"model": model, "messages": [{"role": "user", "content": "Hello!"}]}).status_code


def test_endpoints_and_routes_are_kept_in_postgresql(corrals, upstream):
    server = corrals()
    add(server, upstream)
    assert asks(server) == 200
    shown = server.get("/admin/v1/endpoints/far")
    assert shown.json()["version"] == 1 and "sk-quite-secret" not in shown.text
    changed = httpx.put(server.url + "/admin/v1/endpoints/far", json=endpoint(upstream, capacity=3),
                        headers={"if-match": shown.headers["etag"]}, timeout=30)
    assert changed.status_code == 200 and changed.json()["version"] == 2
    lost = httpx.put(server.url + "/admin/v1/endpoints/far", json=endpoint(upstream, capacity=4),
                     headers={"if-match": shown.headers["etag"]}, timeout=30)
    assert lost.status_code == 409
    assert not (server.data / "corral.db").exists()
    server.stop()
    server.urls.clear()
    server.start()
    assert asks(server) == 200
    assert server.get("/admin/v1/endpoints/far").json()["settings"]["capacity"] == 3
    assert PASSWORD not in server.log_text() and "sk-quite-secret" not in server.log_text()


def test_two_processes_see_each_others_changes(corrals, upstream):
    one, two = corrals(), corrals()
    add(one, upstream)
    begun = time.monotonic()
    wait_until(lambda: asks(two) == 200, FOLLOW + 3, "the other process to follow")
    assert time.monotonic() - begun < FOLLOW + 3
    assert upstream.requests[-1][1].get("authorization") == "Bearer sk-quite-secret", "unsealed with the same key"
    # And back: what the second removes, the first forgets.
    assert httpx.delete(two.url + "/admin/v1/routes/chat", timeout=30).status_code == 204
    assert asks(two) == 404
    wait_until(lambda: asks(one) == 404, FOLLOW + 3, "the first process to follow")


def test_of_two_changes_of_the_same_version_one_is_refused(corrals, upstream):
    one, two = corrals(), corrals()
    add(one, upstream)
    wait_until(lambda: two.get("/admin/v1/endpoints/far").status_code == 200, FOLLOW + 3, "the other to follow")
    etag = one.get("/admin/v1/endpoints/far").headers["etag"]

    def change(server, capacity):
        return httpx.put(server.url + "/admin/v1/endpoints/far", json=endpoint(upstream, capacity=capacity),
                         headers={"if-match": etag}, timeout=30).status_code

    with ThreadPoolExecutor(2) as pool:
        codes = sorted(pool.map(change, (one, two), (5, 6)))
    assert codes == [200, 409]


def test_requests_go_on_while_postgresql_is_away(corrals, upstream, postgres):
    server = corrals()
    add(server, upstream)
    postgres.stop()
    try:
        assert [asks(server) for _ in range(5)] == [200] * 5
        begun = time.monotonic()
        refused = server.post("/admin/v1/routes", route("late"))
        assert refused.status_code == 503, refused.text
        assert time.monotonic() - begun < 30
        problem = refused.json()
        assert problem["status"] == 503 and ("PostgreSQL" in problem["detail"] or "connect" in problem["detail"])
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert PASSWORD not in refused.text
        # Reading needs no database: what is in force is known.
        assert server.get("/admin/v1/routes/chat").status_code == 200
        assert server.get("/admin/v1/routes/late").status_code == 404
        time.sleep(FOLLOW + 1)  # the follower meets it as well
        assert asks(server) == 200 and server.get("/health/ready").status_code == 200
    finally:
        postgres.start()
    wait_until(lambda: server.post("/admin/v1/routes", route("late")).status_code == 201, 20, "a change to go through")
    assert asks(server, "late") == 200
    assert PASSWORD not in server.log_text()


def test_changes_made_elsewhere_while_it_was_away_are_found(corrals, upstream, postgres):
    one, two = corrals(), corrals()
    postgres.stop()
    postgres.start()
    wait_until(lambda: one.post("/admin/v1/endpoints", endpoint(upstream)).status_code in (201, 409), 20, "a change")
    assert one.post("/admin/v1/routes", route()).status_code == 201
    wait_until(lambda: asks(two) == 200, FOLLOW + 3, "the other process to follow")


def test_a_database_that_is_away_at_the_start_is_said(tmp_path, postgres):
    wrong = postgres.url.replace(f":{postgres.port}/", ":1/")
    server = Corral(tmp_path, env={"CORRAL_STORE_URL": wrong})
    server.launch()
    assert server.wait(30) == 1
    assert "cannot connect to postgresql://corral@127.0.0.1:1" in server.log_text()
    assert PASSWORD not in server.log_text()
