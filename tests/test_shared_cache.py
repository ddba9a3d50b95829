"""Kept answers that several Corral processes share through a real Redis."""

import json
import time

import httpx
import pytest

from harness.corral import Corral, run_cli, wait_until
from harness.fake_upstream import FakeUpstream
from harness.route_bed import CHAT, GATEWAY, HELLO, POLICY, ROUTE
from harness.services import PASSWORD, Redis

PROMPT = "The secret of the prompt"


class Pair:
    """Two Corrals with the same configuration, one upstream, one Redis."""

    def __init__(self, folder, redis, upstream, url=None, ttl="300s"):
        self.upstream, self.redis = upstream, redis
        config = {
            "gateway": GATEWAY,
            "endpoints": [{"name": "a", "binding": "openai", "url": upstream.url}],
            "routes": [{"name": ROUTE, "targets": [{"endpoint": "a", "model": "backend-m"}], **POLICY,
                        "cache": "temperature0", "cache_ttl": ttl}],
        }
        env = {"CORRAL_SHARED_URL": url or redis.url}
        self.servers = [Corral(folder / f"corral{i}", config=json.dumps(config), env=env) for i in range(2)]

    def __enter__(self):
        try:
            for one in self.servers:
                one.start()
        except BaseException:
            self.end()
            raise
        self.upstream.requests.clear()
        return self

    def end(self):
        for one in self.servers:
            one.kill()

    def __exit__(self, kind, *_):
        if kind:
            for one in self.servers:
                print(one.report())
            self.end()
        else:
            for one in self.servers:
                one.stop()

    def ask(self, which, text=PROMPT, **options):
        body = {"model": ROUTE, "messages": [{"role": "user", "content": text}], "temperature": 0, **options}
        return self.servers[which].post(CHAT, body)

    def connected(self):
        wait_until(lambda: all(one.metric("corral_shared_cache_connections") > 0 for one in self.servers), 10,
                   "both to reach Redis")

    def wait_for_kept(self, count=1):
        """An answer is shared just after its client got it."""
        wait_until(lambda: self.redis.ask("DBSIZE") >= b":%d" % count, 5, "the answer in Redis")

    def asked(self):
        return len(self.upstream.requests)


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path / "redis") as one:
        yield one


@pytest.fixture
def upstream():
    with FakeUpstream(tokens=10) as one:
        yield one


@pytest.fixture
def pair(tmp_path, redis, upstream):
    with Pair(tmp_path, redis, upstream) as both:
        both.connected()
        yield both


def use(answer):
    return answer.headers.get("x-corral-cache")


def test_what_one_process_kept_the_other_gives(pair):
    first = pair.ask(0)
    assert (first.status_code, use(first)) == (200, "miss")
    time.sleep(1.1)
    second = pair.ask(1)
    assert (second.status_code, use(second)) == (200, "hit")
    assert second.content == first.content and second.headers["content-type"] == first.headers["content-type"]
    assert 1 <= int(second.headers["age"]) <= 5
    assert pair.asked() == 1
    again = pair.ask(1)  # out of its own memory now
    assert use(again) == "hit" and int(again.headers["age"]) >= 1
    assert pair.servers[1].metric("corral_shared_cache_hits_total") == 1
    assert pair.servers[0].metric("corral_shared_cache_misses_total") == 1


def test_streams_too(pair):
    def stream(which):
        body = {"model": ROUTE, "messages": HELLO, "temperature": 0, "stream": True}
        with httpx.stream("POST", pair.servers[which].url + CHAT, json=body, trust_env=False) as response:
            return use(response), response.read()

    first, said = stream(0)
    pair.wait_for_kept()
    second, again = stream(1)
    assert (first, second) == ("miss", "hit")
    assert said == again and said.rstrip().endswith(b"data: [DONE]")
    assert pair.asked() == 1


def test_nothing_of_a_prompt_stands_in_redis(pair, redis):
    assert use(pair.ask(0)) == "miss"
    pair.wait_for_kept()
    keys = redis.ask("KEYS", "*")
    key = keys.split(b"\r\n")[2].decode()
    assert len(key) == len("corral:answer:1:") + 64
    value = redis.ask("GET", key)
    for text in (PROMPT.encode(), b"secret"):
        assert text not in keys and text not in value
    left = int(redis.ask("PTTL", key)[1:])
    assert 290_000 < left <= 300_000


def test_rubbish_in_redis_is_as_good_as_nothing(pair, redis):
    assert use(pair.ask(0)) == "miss"
    pair.wait_for_kept()
    key = redis.ask("KEYS", "*").split(b"\r\n")[2].decode()
    redis.ask("SET", key, "CRA1 and then rubbish that is long enough for a head")
    answer = pair.ask(1)
    assert (answer.status_code, use(answer)) == (200, "miss")
    assert use(pair.ask(0, seed=1)) == "miss"
    pair.wait_for_kept(2)
    other = next(one for one in redis.ask("KEYS", "*").decode().split("\r\n") if ":" in one and one != key)
    redis.ask("DEL", other)
    redis.ask("LPUSH", other, "of another type")
    assert use(pair.ask(1, seed=1)) == "miss"
    pair.servers[1].wait_for_log("Redis refuses to find or keep answers.*WRONGTYPE")
    assert pair.servers[1].get("/health").status_code == 200


def test_requests_go_on_when_redis_dies_and_comes_back(pair, redis):
    assert use(pair.ask(0)) == "miss"
    redis.kill()
    slowest = 0
    for i in range(20):
        begun = time.monotonic()
        answer = pair.ask(i % 2, seed=100 + i)
        slowest = max(slowest, time.monotonic() - begun)
        assert (answer.status_code, use(answer)) == (200, "miss"), answer.text
    assert slowest < 2, f"a request waited {slowest} s for a Redis that is away"
    assert use(pair.ask(0)) == "hit"  # its own memory
    for server in pair.servers:
        server.wait_for_log("answers are not shared until")
        assert server.log_text().count("answers are not shared until") == 1
        assert server.metric("corral_shared_cache_errors_total") > 0
        assert PASSWORD not in server.log_text() and PASSWORD not in str(server.metrics())
    redis.start()
    pair.servers[0].wait_for_log("answers are shared again", 30)
    pair.servers[1].wait_for_log("answers are shared again", 30)
    pair.connected()

    def shared():
        seed = time.monotonic_ns() % 1_000_000_000
        return use(pair.ask(0, seed=seed)) == "miss" and use(pair.ask(1, seed=seed)) == "hit"

    wait_until(shared, 30, "answers to be shared again")


def test_a_redis_that_hangs_costs_little(pair, redis):
    assert use(pair.ask(0)) == "miss"
    redis.freeze()
    begun = time.monotonic()
    for i in range(12):
        answer = pair.ask(1, seed=500 + i)
        assert (answer.status_code, use(answer)) == (200, "miss")
    took = time.monotonic() - begun
    redis.thaw()
    assert took < 8, f"12 requests took {took} s"


@pytest.mark.parametrize("url", ["redis://:hunter2@", "http://hunter2@h", "redis://u:hunter2@h/x"])
def test_a_url_that_is_none_is_refused_at_the_start(tmp_path, url):
    server = Corral(tmp_path, env={"CORRAL_SHARED_URL": url})
    server.launch()
    assert server.wait(30) == 1
    assert "shared.url" in server.log_text() or "Redis URL" in server.log_text(), server.log_text()
    assert "hunter2" not in server.log_text()


def test_a_wrong_password_is_said_once_and_stops_nothing(tmp_path, redis, upstream):
    url = f"redis://:hunter2@127.0.0.1:{redis.port}"
    with Pair(tmp_path, redis, upstream, url=url) as pair:
        assert pair.ask(0).status_code == 200
        found = pair.servers[0].wait_for_log("answers are not shared until.*")
        assert "password" in found.group(0) and "hunter2" not in pair.servers[0].log_text()


def test_the_url_is_a_secret(tmp_path):
    shown = run_cli("config", "get", "shared.url", env={"CORRAL_SHARED_URL": "redis://:hunter2@h"})
    assert "hunter2" not in shown.stdout + shown.stderr
