"""Kept and shared answers: what a client of the real program sees of the cache of a route."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.corral import sse, wait_until
from harness.route_bed import CHAT, HELLO, ROUTE, beds, error_in, said

ON = {"x-corral-cache": "on"}
SLOW = 0.05  # seconds between tokens: time to join


@pytest.fixture
def bed(tmp_path):
    with beds(tmp_path) as make:

        def made(cache="temperature0", ttl="300s", route=None, **options):
            return make(count=options.pop("count", 1), route={"cache": cache, "cache_ttl": ttl, **(route or {})},
                        **options)

        yield made


def use(answer):
    return answer.headers.get("x-corral-cache")


def many(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


def stays(one, name, value):
    return one.server.metric(f"corral_cache_{name}") == value


# --- hits and misses


def test_the_second_answer_is_the_first(bed):
    one = bed()
    first = one.ask(temperature=0)
    second = one.ask(temperature=0)
    assert (use(first), use(second)) == ("miss", "hit")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content and first.json()["choices"][0]["message"]["content"] == one.text
    assert first.headers["content-type"] == second.headers["content-type"]
    assert "age" not in first.headers and int(second.headers["age"]) in (0, 1)
    assert first.headers["x-corral-endpoint"] == "a" and "x-corral-endpoint" not in second.headers
    assert one.asked() == [1]
    assert stays(one, "hits_total", 1) and stays(one, "misses_total", 1)
    assert one.server.metric("corral_cache_bytes") > len(first.content)


def test_a_stream_is_kept_as_a_stream(bed):
    one = bed(gap=SLOW)
    first, events = one.stream(temperature=0)
    begun = time.monotonic()
    second, again = one.stream(temperature=0)
    assert time.monotonic() - begun < SLOW * 5  # at once, not at the pace at which it came
    assert (use(first), use(second)) == ("miss", "hit")
    assert events == again and said(again) == one.text and again[-1] == "[DONE]"
    assert second.headers["content-type"].startswith("text/event-stream")
    document = one.ask(temperature=0)  # another form
    assert use(document) == "miss" and document.json()["choices"][0]["message"]["content"] == one.text
    assert one.asked() == [2]


def test_the_order_and_spelling_of_the_body_do_not_matter(bed):
    one = bed()
    head = {"content-type": "application/json"}
    bodies = [
        f'{{"model":"{ROUTE}","temperature":0,"messages":[{{"role":"user","content":"caf\\u00e9"}}],"top_p":0.5}}',
        f'{{ "top_p": 5e-1, "messages": [ {{"content":"café","role":"user"}} ],\n "temperature":0.0,"model":"{ROUTE}",'
        '"user":"somebody", "stream":false }',
    ]
    answers = [one.client.post(CHAT, content=body.encode(), headers=head) for body in bodies]
    assert [use(answer) for answer in answers] == ["miss", "hit"]


def test_other_requests_get_their_own_answers(bed):
    one = bed()
    for options in ({}, {"seed": 1}, {"seed": 2}, {"max_tokens": 5}, {"top_p": 0.5}, {"stop": ["x"]},
                    {"text": "Something else"}, {"tools": [{"type": "function", "function": {"name": "f"}}]}):
        assert use(one.ask(temperature=0, **options)) == "miss", options
    assert one.asked() == [8]


def test_users_share_what_is_kept(bed):
    one = bed()
    assert use(one.ask(temperature=0, user="one", headers={"authorization": "Bearer one"})) == "miss"
    assert use(one.ask(temperature=0, user="two", headers={"authorization": "Bearer two"})) == "hit"


def test_routes_do_not_share(bed):
    targets = [{"endpoint": "a", "model": "backend-m"}]
    other = {"name": "other", "targets": targets, "cache": "temperature0"}
    one = bed(routes=[other])
    assert use(one.ask(temperature=0)) == "miss"
    answer = one.ask(model="other", temperature=0)
    assert use(answer) == "miss" and answer.json()["model"] == "other"


def test_an_answer_leaves_when_its_time_is_over(bed):
    one = bed(ttl="1s")
    assert [use(one.ask(temperature=0)) for _ in range(2)] == ["miss", "hit"]
    time.sleep(1.05)
    assert use(one.ask(temperature=0)) == "miss"
    wait_until(lambda: stays(one, "bytes", 0), 5, "the memory of what is too old")


def test_without_time_nothing_is_kept(bed):
    one = bed(ttl="0s")
    assert [use(one.ask(temperature=0)) for _ in range(2)] == ["miss", "miss"]
    assert one.asked() == [2]


# --- which requests


def test_randomness_is_not_kept(bed):
    one = bed()
    for options in ({}, {"temperature": 0.7}, {"temperature": 0, "n": 2}):
        assert [use(one.ask(**options)) for _ in range(2)] == [None, None], options
    assert one.asked() == [6]


def test_unless_it_is_asked_for(bed):
    one = bed(cache="opt_in")
    assert [use(one.ask(temperature=0)) for _ in range(2)] == [None, None]
    assert [use(one.ask(temperature=1, headers=ON)) for _ in range(2)] == ["miss", "hit"]


def test_a_route_without_cache_keeps_nothing(bed):
    one = bed(cache="off")
    assert [use(one.ask(temperature=0, headers=ON)) for _ in range(2)] == [None, None]
    assert one.asked() == [2]


def test_the_temperature_of_the_route_counts(bed):
    one = bed(route={"parameters": {"temperature": 0}})
    assert [use(one.ask()) for _ in range(2)] == ["miss", "hit"]
    assert [use(one.ask(temperature=0.5)) for _ in range(2)] == [None, None]


def test_the_client_may_refuse(bed):
    one = bed()
    assert use(one.ask(temperature=0)) == "miss"
    for headers in ({"cache-control": "no-store"}, {"x-corral-cache": "off"}):
        assert use(one.ask(temperature=0, headers=headers)) is None
    fresh = one.ask(temperature=0, headers={"cache-control": "no-cache"})
    assert use(fresh) == "miss"
    assert one.asked() == [4]
    kept = one.ask(temperature=0)
    assert use(kept) == "hit" and kept.content == fresh.content  # what was made anew replaced it


def test_keys_that_stand_twice_are_not_kept(bed):
    one = bed()
    body = (f'{{"model":"{ROUTE}","temperature":0,'
            '"messages":[{"role":"user","content":"mine","content":"yours"}]}')
    for _ in range(2):
        answer = one.client.post(CHAT, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200 and use(answer) is None


# --- what is not kept


def test_errors_are_not_kept(bed):
    one = bed(route={"tries": 1})
    for status in (500, 400):
        one.fakes[0].set(status=status)
        assert one.ask(temperature=0).status_code >= 400
        one.fakes[0].clear()
        answer = one.ask(temperature=0, seed=status)
        assert (answer.status_code, use(answer)) == (200, "miss")


def test_streams_that_break_off_are_not_kept(bed):
    one = bed(route={"tries": 1})
    one.fakes[0].set(reset_after_tokens=3)
    answer, events = one.stream(temperature=0)
    assert error_in(events) and events[-1] != "[DONE]"
    one.fakes[0].clear()
    answer, events = one.stream(temperature=0)
    assert use(answer) == "miss" and said(events) == one.text


def test_the_memory_has_a_limit(bed):
    limit = 64 * 1024
    one = bed(gateway={"cache_bytes": limit})
    for i in range(150):
        assert use(one.ask(temperature=0, seed=i)) == "miss"
        if i % 50 == 49:
            assert 0 < one.server.metric("corral_cache_bytes") <= limit
    assert one.server.metric("corral_cache_evictions_total") > 0
    assert use(one.ask(temperature=0, seed=149)) == "hit"
    assert use(one.ask(temperature=0, seed=0)) == "miss"


def test_a_huge_answer_is_not_kept_and_evicts_nothing(bed):
    one = bed(tokens=2000, gateway={"cache_bytes": 64 * 1024})
    small = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    assert use(one.ask(temperature=0, **small)) == "miss"
    for _ in range(2):
        answer, events = one.stream(temperature=0)
        assert use(answer) == "miss" and events[-1] == "[DONE]"
    assert use(one.ask(temperature=0, **small)) == "hit"


# --- at the same time


@pytest.mark.parametrize("ttl", ["300s", "0s"])
def test_identical_requests_at_once_are_one_upstream(bed, ttl):
    one = bed(ttl=ttl)
    one.fakes[0].set(delay_ms=400)
    answers = many(*[lambda: one.ask(temperature=0)] * 8)
    assert one.asked() == [1]
    assert len({answer.content for answer in answers}) == 1
    assert sorted(use(answer) for answer in answers) == ["joined"] * 7 + ["miss"]
    assert all(answer.headers["x-corral-endpoint"] == "a" for answer in answers)
    assert stays(one, "joined_total", 7) and stays(one, "misses_total", 1)


def test_who_joins_a_stream_late_gets_all_of_it(bed):
    one = bed(gap=SLOW, tokens=20)

    def later(seconds):
        time.sleep(seconds)
        return one.stream(temperature=0)

    answers = many(*[lambda wait=wait: later(wait) for wait in (0, 0.3, 0.6)])
    assert one.asked() == [1]
    assert sorted(use(answer) for answer, _ in answers) == ["joined", "joined", "miss"]
    for _, events in answers:
        assert said(events) == one.text and events[-1] == "[DONE]"


def leaving(one, bytes_to_read):
    """A client that asks for a stream, reads a part and goes away."""
    body = json.dumps({"model": ROUTE, "messages": HELLO, "stream": True, "temperature": 0})
    connection = socket.create_connection(("127.0.0.1", int(one.server.url.rsplit(":", 1)[1])))
    connection.sendall((f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
    got = b""
    while len(got) < bytes_to_read:
        got += connection.recv(4096)
    return connection, got


def test_who_joined_gets_the_answer_when_the_first_leaves(bed):
    one = bed(gap=SLOW, tokens=20)
    connection, got = leaving(one, 300)
    assert re.search(rb"(?i)x-corral-cache: miss", got)
    with ThreadPoolExecutor(1) as pool:
        joined = pool.submit(one.stream, temperature=0)
        wait_until(lambda: stays(one, "joined_total", 1), 5, "the second to join")
        connection.close()
        answer, events = joined.result()
    assert use(answer) == "joined"
    assert said(events) == one.text and events[-1] == "[DONE]"
    assert one.asked() == [1]
    again, _ = one.stream(temperature=0)
    assert use(again) == "hit"


def test_when_all_leave_the_work_upstream_ends(bed):
    one = bed(gap=SLOW, tokens=400)
    pair = [leaving(one, 300)[0], leaving(one, 300)[0]]
    assert one.asked() == [1]
    for connection in pair:
        connection.close()
    wait_until(lambda: one.endpoint("a")["in_flight"] == 0, 5, "the end of the call upstream")
    body = {"model": ROUTE, "messages": HELLO, "stream": True, "temperature": 0}
    with one.client.stream("POST", CHAT, json=body) as response:
        assert use(response) == "miss"  # nothing of it was kept


def test_a_failure_is_for_all_who_joined(bed):
    one = bed(route={"tries": 1})
    one.fakes[0].set(status=500, delay_ms=300)
    answers = many(*[lambda: one.ask(temperature=0)] * 4)
    assert one.asked() == [1]
    assert len({answer.status_code for answer in answers}) == 1 and answers[0].status_code >= 500
    assert all(answer.json()["error"]["message"] for answer in answers)


def test_different_requests_at_once_do_not_mix(bed):
    one = bed(count=1, gap=0.01)
    answers = many(*[lambda i=i: one.ask(temperature=0, seed=i % 4, text=f"number {i % 4}") for i in range(16)])
    assert one.asked() == [4]
    asked = sorted(request[2]["messages"][0]["content"] for request in one.fakes[0].requests)
    assert asked == [f"number {i}" for i in range(4)]
    assert all(answer.status_code == 200 for answer in answers)


def test_streams_over_http_are_whole(bed):
    """A hit is an event stream like any other."""
    one = bed()
    one.stream(temperature=0)
    body = {"model": ROUTE, "messages": HELLO, "stream": True, "temperature": 0}
    with one.client.stream("POST", CHAT, json=body) as response:
        assert use(response) == "hit" and response.headers["cache-control"] == "no-cache"
        events = list(sse(response.iter_lines()))
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1
