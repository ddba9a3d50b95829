"""Routes over endpoints that die, stall, lie and come back: what a client of the real program sees."""

import collections
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import netns
from harness.corral import MODEL, wait_until
from harness.route_bed import CHAT, HELLO, ROUTE, beds, error_in, said, timed

SHORT = {"first_token_timeout": "600ms", "between_tokens_timeout": "600ms"}
# What an endpoint can do wrong before its first useful byte, for whole answers and for streams.
FAILURES = {
    "refuse": {"refuse": True},
    "reset on accept": {"reset_on_accept": True},
    "reset before the answer": {"reset_after_bytes": 0},
    "close before the answer": {"close_after_bytes": 0},
    "reset within the head": {"reset_after_bytes": 20},
    "close within the head": {"close_after_bytes": 20},
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503, "retry_after": 1},
    "no HTTP": {"rubbish": "not_http"},
    "no JSON": {"rubbish": "not_json"},
    "stall": {"stall": True},
    "stall within the head": {"stall_after_bytes": 20},
    "drip": {"drip_ms": 100},
}
STREAM_FAILURES = FAILURES | {
    "events that are none": {"rubbish": "broken_sse"},
    "no token": {"stall_after_tokens": 0},
    "reset before the first token": {"reset_after_tokens": 0},
    "close before the first token": {"close_after_tokens": 0},
    "error before the first token": {"error_after_tokens": 0},
}
WHOLE_FAILURES = FAILURES | {
    "too short": {"content_length": 40},
    "too long": {"content_length": -40},
    "reset within the body": {"reset_after_bytes": 200},
    "stall within the body": {"stall_after_bytes": 200},
    "without end": {"never_close": True},
}


@pytest.fixture
def bed(tmp_path):
    with beds(tmp_path) as make:
        yield make


def by(answer):
    return answer.headers["x-corral-endpoint"], int(answer.headers["x-corral-attempts"])


# --- retries and fallback


@pytest.mark.parametrize("fault", WHOLE_FAILURES.values(), ids=WHOLE_FAILURES)
def test_another_endpoint_answers_in_its_place(bed, fault):
    one = bed(groups=[0, 1], route=SHORT)
    one.fakes[0].set(**fault)
    answer, seconds = timed(one.ask)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == one.text
    assert by(answer) == ("b", 2)
    assert seconds < 4


@pytest.mark.parametrize("fault", STREAM_FAILURES.values(), ids=STREAM_FAILURES)
def test_another_endpoint_streams_in_its_place(bed, fault):
    one = bed(groups=[0, 1], route=SHORT)
    one.fakes[0].set(**fault)
    (answer, events), seconds = timed(one.stream)
    assert answer.status_code == 200
    assert (said(events), events[-1], error_in(events)) == (one.text, "[DONE]", None)
    assert by(answer) == ("b", 2)
    assert seconds < 4


def test_nothing_wrong_takes_one_attempt(bed):
    one = bed(groups=[0, 1])
    assert by(one.ask()) == ("a", 1)
    answer, events = one.stream()
    assert by(answer) == ("a", 1)
    assert (said(events), events[-1]) == (one.text, "[DONE]")
    assert one.asked() == [2, 0]


def test_the_same_group_is_tried_before_the_next(bed):
    one = bed(count=3, groups=[0, 0, 1])
    one.fakes[0].set(status=500)
    assert [by(one.ask())[0] for _ in range(4)] == ["b"] * 4
    assert one.asked()[2] == 0


def test_local_engines_are_a_group(bed):
    one = bed(count=1, targets=[{"endpoint": "local", "model": MODEL, "group": 1}])
    one.fakes[0].set(refuse=True)
    answer = one.ask(temperature=0)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].strip()
    assert by(answer)[0] != "a"
    assert answer.json()["model"] == ROUTE


def test_fallback_to_another_route(bed):
    other = {"name": "other", "targets": [{"endpoint": "b", "model": "other-m"}]}
    one = bed(groups=[0, 0], routes=[other],
              route={"targets": [{"endpoint": "a", "model": "backend-m"}], "fallbacks": ["other"]})
    one.fakes[0].set(status=500)
    answer = one.ask()
    assert answer.status_code == 200, answer.text
    assert by(answer)[0] == "b"
    assert one.fakes[1].requests[-1][2]["model"] == "other-m"
    assert answer.json()["model"] == ROUTE


def test_tries_are_bounded(bed):
    one = bed(count=4, route={"tries": 2})
    one.set(status=500)
    answer = one.ask()
    assert answer.status_code in (500, 502, 503), answer.text
    assert answer.json()["error"]["message"]
    assert sum(one.asked()) == 2


def test_retries_have_a_budget(bed):
    """Far fewer than three attempts a request when everything fails; 20 % more is the budget."""
    one = bed(count=4, route={"retry_budget": 0.2, "tries": 3}, gateway={"breaker": {"failures": 1000,
                                                                                  "min_volume": 100000}})
    one.set(status=500)
    for _ in range(60):
        one.ask()
    assert 60 <= sum(one.asked()) <= 60 * 1.2 + 15  # some are free at the start


def test_an_endpoint_without_the_model_is_passed_over(bed):
    """404 for a model that the route names: another target is asked, and no breaker opens."""
    one = bed(groups=[0, 1], gateway={"breaker": {"failures": 2}})
    one.fakes[0].set(status=404)
    for _ in range(8):
        answer = one.ask()
        assert answer.status_code == 200, answer.text
        assert by(answer) == ("b", 2)
    assert one.asked() == [8, 8]
    assert "open" not in one.breakers("a")
    one.fakes[1].set(status=404)  # nobody has it: the backend's own words
    answer = one.ask()
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "scripted 404"
    one.fakes[1].set(refuse=True)  # who may have it cannot be asked
    answer = one.ask()
    assert answer.status_code in (502, 503), answer.text


@pytest.mark.parametrize("status", [400, 413, 422])
def test_errors_of_the_client_pass_untouched(bed, status):
    one = bed(groups=[0, 1])
    one.fakes[0].set(status=status)
    for _ in range(8):
        answer = one.ask()
        assert answer.status_code == status
        assert answer.json()["error"]["message"] == f"scripted {status}"
        assert by(answer) == ("a", 1)
    assert one.asked() == [8, 0]
    assert "open" not in one.breakers("a")


def test_never_again_after_the_first_token(bed):
    one = bed(groups=[0, 1])
    one.fakes[0].set(reset_after_tokens=3)
    answer, events = one.stream()
    assert answer.status_code == 200
    assert said(events) == "".join(word + " " for word in one.text.split()[:3])
    assert error_in(events)["message"]
    assert one.asked() == [1, 0]


MIDWAY = {
    "reset": {"reset_after_tokens": 4},
    "close": {"close_after_tokens": 4},
    "error event": {"error_after_tokens": 4},
    "silence": {"stall_after_tokens": 4},
}


@pytest.mark.parametrize("fault", MIDWAY.values(), ids=MIDWAY)
def test_a_stream_that_dies_midway_goes_on_elsewhere(bed, fault):
    one = bed(groups=[0, 1], route={"resume": True, "between_tokens_timeout": "600ms"})
    one.fakes[0].set(**fault)
    _, events = one.stream()
    assert said(events) == one.text
    assert error_in(events) is None and events[-1] == "[DONE]"
    assert len({event["id"] for event in events if event != "[DONE]" and "id" in event}) == 1
    assert one.asked() == [1, 1]
    last = one.fakes[1].requests[0][2]["messages"][-1]
    assert last["role"] == "assistant"
    assert last["content"] == "".join(word + " " for word in one.text.split()[:4])


@pytest.mark.parametrize("fault", MIDWAY.values(), ids=MIDWAY)
def test_without_resume_it_ends_with_an_error_event(bed, fault):
    one = bed(groups=[0, 1], route={"between_tokens_timeout": "600ms"})
    one.fakes[0].set(**fault)
    _, events = one.stream()
    assert said(events) == "".join(word + " " for word in one.text.split()[:4])
    assert error_in(events)["message"]
    assert one.asked() == [1, 0]


def test_twice_broken_and_still_whole(bed):
    one = bed(count=3, groups=[0, 1, 2], route={"resume": True, "tries": 3})
    one.fakes[0].set(reset_after_tokens=3)
    one.fakes[1].set(reset_after_tokens=3)
    _, events = one.stream()
    assert (said(events), events[-1]) == (one.text, "[DONE]")


# --- time


def test_a_stalled_endpoint_is_let_go(bed):
    one = bed(groups=[0, 1], route=SHORT)
    one.fakes[0].set(stall=True)
    answer, seconds = timed(one.ask)
    assert answer.status_code == 200 and 0.5 < seconds < 3
    wait_until(lambda: one.fakes[0].stats()["cancelled"] == 1, 5, "the stalled call to be cancelled")


def test_a_stream_that_begins_without_a_token_is_let_go(bed):
    """The head and the event with the role come, no token does: the time to the first token counts on."""
    one = bed(groups=[0, 1], route={"first_token_timeout": "600ms"})
    one.fakes[0].set(stall_after_tokens=0)
    (answer, events), seconds = timed(one.stream)
    assert by(answer) == ("b", 2) and seconds < 3
    assert (said(events), events[-1]) == (one.text, "[DONE]")


@pytest.mark.parametrize("stream", [False, True])
def test_504_says_what_timed_out(bed, stream):
    one = bed(route=SHORT | {"tries": 1})
    one.set(stall=True)
    answer, seconds = timed(lambda: one.ask(stream=stream))
    assert answer.status_code == 504, answer.text
    assert re.search("first token|begin to answer", answer.json()["error"]["message"])
    assert 0.5 < seconds < 3


def test_total_time_is_bounded(bed):
    one = bed(route={"total_timeout": "800ms"})
    one.set(delay_ms=5000)
    answer, seconds = timed(one.ask)
    assert answer.status_code == 504, answer.text
    assert "total" in answer.json()["error"]["message"]
    assert 0.7 < seconds < 3


def test_hedging_asks_a_second_endpoint(bed):
    one = bed(route={"hedge": True, "hedge_budget": 1.0, "balance": "round_robin"})
    for _ in range(130):  # so that the route knows its usual time
        assert one.ask().status_code == 200
    one.fakes[0].set(delay_ms=4000)
    for _ in range(2):  # in turn: one of the two begins at the slow one
        answer, seconds = timed(one.ask)
        assert answer.status_code == 200 and seconds < 2
        assert answer.headers["x-corral-endpoint"] == "b"
    wait_until(lambda: one.fakes[0].stats()["cancelled"] >= 1, 5, "the loser to be cancelled")


def test_a_black_hole_costs_the_connect_timeout(bed):
    netns.sweep()
    with netns.Host() as host:
        host.black_hole()
        one = bed(count=1, urls=[f"http://{host.address}:8080"], groups=[1, 0], route={"connect_timeout": "500ms"})
        answer, seconds = timed(one.ask)
        assert answer.status_code == 200, answer.text
        assert by(answer) == ("a", 2) and 0.4 < seconds < 3


# --- what an endpoint is left alone for


def test_429_cools_the_endpoint_down(bed):
    one = bed(groups=[0, 1])
    one.fakes[0].set(status=429, retry_after=2)
    begun = time.monotonic()
    assert by(one.ask()) == ("b", 2)
    one.fakes[0].set()
    while time.monotonic() - begun < 1.7:
        assert by(one.ask()) == ("b", 1)
        time.sleep(0.1)
    assert one.asked()[0] == 1
    assert "open" not in one.breakers("a")
    wait_until(lambda: one.ask().headers["x-corral-endpoint"] == "a", 3, "the cool-down to end")


def test_429_everywhere_is_told_with_its_time(bed):
    one = bed(route={"queue_timeout": "300ms"})
    one.set(status=429, retry_after=30)
    for _ in range(3):
        answer = one.ask()
        assert answer.status_code in (429, 503), answer.text
        assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert one.asked() == [1, 1]


def test_breaker_opens_and_recovers(bed):
    one = bed(gateway={"breaker": {"failures": 5, "recovery_remote": "3s"}})
    one.fakes[0].set(status=500, path=CHAT)
    for _ in range(16):
        assert by(one.ask())[0] == "b"
    assert one.asked()[0] == 5
    assert one.breakers("a") == {"open"}
    assert one.breakers("b") == {"closed"}
    for _ in range(6):
        assert by(one.ask()) == ("b", 1)
    assert one.asked()[0] == 5
    one.fakes[0].set()
    time.sleep(3.1)

    def back():
        one.ask()
        return one.breakers("a") == {"closed"}

    wait_until(back, 5, "the breaker to close")
    assert {by(one.ask())[0] for _ in range(6)} == {"a", "b"}


def test_a_failed_trial_opens_it_again(bed):
    one = bed(gateway={"breaker": {"failures": 5, "recovery_remote": "2s"}})
    one.fakes[0].set(status=500, path=CHAT)
    for _ in range(16):
        one.ask()
    assert one.breakers("a") == {"open"}
    before = one.asked()[0]

    def tried():
        assert by(one.ask())[0] == "b"
        return one.asked()[0] > before

    wait_until(tried, 6, "a trial after the pause")
    for _ in range(6):
        assert by(one.ask())[0] == "b"
    assert one.asked()[0] - before <= 3
    assert one.breakers("a") == {"open"}


def test_probes_find_the_dead_and_the_returned(bed):
    one = bed(gateway={"health": {"probe_interval": "300ms", "probe_timeout": "300ms", "strikes": 2}})
    one.fakes[0].set(refuse=True)
    time.sleep(1.5)
    assert [by(one.ask()) for _ in range(6)] == [("b", 1)] * 6
    one.fakes[0].set()
    wait_until(lambda: by(one.ask())[0] == "a", 10, "the endpoint to be used again")


# --- names and parameters


def test_wildcards(bed):
    wild = {"name": "openai/*", "targets": [{"endpoint": "a", "model": "*"}]}
    one = bed(routes=[wild])
    answer = one.ask(model="openai/gpt-9")
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "openai/gpt-9"
    assert one.fakes[0].requests[-1][2]["model"] == "gpt-9"
    assert one.ask(model="openai/").status_code == 404


def test_an_exact_name_goes_before_a_wildcard(bed):
    wild = {"name": "openai/*", "targets": [{"endpoint": "a", "model": "*"}]}
    exact = {"name": "openai/mine", "targets": [{"endpoint": "b", "model": "exact"}]}
    one = bed(routes=[wild, exact])
    assert by(one.ask(model="openai/mine"))[0] == "b"
    assert by(one.ask(model="openai/other"))[0] == "a"


def test_aliases_and_rewriting(bed):
    one = bed(count=1, route={"aliases": ["gpt-4o"]})
    for name in (ROUTE, "gpt-4o"):
        answer = one.ask(model=name)
        assert answer.json()["model"] == name
        assert one.fakes[0].requests[-1][2]["model"] == "backend-m"
        _, events = one.stream(model=name)
        assert {event["model"] for event in events if event != "[DONE]"} == {name}
    listed = [entry["id"] for entry in one.server.get("/v1/models").json()["data"]]
    assert ROUTE in listed and "gpt-4o" in listed


def test_unknown_names_are_404(bed):
    answer = bed().ask(model="chatt")
    assert answer.status_code == 404
    assert ROUTE in answer.text  # the nearest name


def test_default_parameters(bed):
    one = bed(count=1, route={"parameters": {"temperature": 0.25, "max_tokens": 77}})
    one.ask()
    body = one.fakes[0].requests[-1][2]
    assert (body["temperature"], body["max_tokens"]) == (0.25, 77)
    one.ask(temperature=0.75)
    body = one.fakes[0].requests[-1][2]
    assert (body["temperature"], body["max_tokens"]) == (0.75, 77)


# --- balancing


def test_weighted_split(bed):
    one = bed(weights=[3, 1], route={"balance": "weighted"})
    for _ in range(200):
        assert one.ask().status_code == 200
    assert abs(one.asked()[0] - 150) <= 10


def test_weight_zero_gets_nothing(bed):
    one = bed(weights=[1, 0], route={"balance": "weighted"})
    for _ in range(20):
        assert by(one.ask())[0] == "a"


def test_round_robin(bed):
    one = bed(count=3)
    order = [by(one.ask())[0] for _ in range(12)]
    assert collections.Counter(order) == {"a": 4, "b": 4, "c": 4}


def test_sticky_by_user(bed):
    one = bed(count=3, route={"balance": "sticky"})
    homes = {}
    for _ in range(3):
        for user in range(15):
            home = by(one.ask(user=f"user-{user}"))[0]
            assert homes.setdefault(user, home) == home
    assert set(homes.values()) == {"a", "b", "c"}
    one.fakes[0].set(refuse=True)
    for user, home in homes.items():
        now = by(one.ask(user=f"user-{user}"))[0]
        assert now == home if home != "a" else now in "bc"


def test_least_busy_and_latency_aware_avoid_the_slow(bed):
    for balance in ("least_busy", "peak_ewma"):
        one = bed(route={"balance": balance})
        one.fakes[0].set(delay_ms=300)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _, one=one: one.ask(), range(60)))
        assert all(answer.status_code == 200 for answer in answers)
        assert one.asked()[1] > 2 * one.asked()[0], balance


def test_shared_prompts_go_where_they_were(bed):
    one = bed(count=3, route={"balance": "prefix"})
    homes = {}
    for turn in range(4):
        for topic in range(6):
            messages = [{"role": "system", "content": f"Topic {topic}. " + "A long common beginning. " * 100},
                        {"role": "user", "content": f"Question {turn}"}]
            answer = one.server.post(CHAT, {"model": ROUTE, "messages": messages})
            homes.setdefault(topic, set()).add(by(answer)[0])
    assert all(len(places) == 1 for places in homes.values()), homes
    assert len(set.union(*homes.values())) > 1


# --- what is shown


def test_what_is_seen(bed):
    one = bed()
    one.fakes[0].set(delay_ms=20)
    for _ in range(4):
        one.ask()
    entry = one.endpoint("a")
    assert one.breakers("a") == {"closed"}
    shown = json.dumps(entry)
    for word in ("in_flight", "latency_ms"):
        assert word in shown, shown
    listed = one.server.cli("endpoints")
    assert listed.returncode == 0 and "closed" in listed.stdout, listed.stderr
    why = one.server.cli("routes", "explain", ROUTE)
    assert why.returncode == 0 and "a" in why.stdout and "b" in why.stdout, why.stderr


def test_the_official_client_sees_no_difference(bed):
    one = bed(groups=[0, 1])
    one.fakes[0].set(status=500)
    with one.server.client() as client:
        answer = client.chat.completions.create(model=ROUTE, messages=HELLO)
        assert answer.choices[0].message.content == one.text
        parts = list(client.chat.completions.create(model=ROUTE, messages=HELLO, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == one.text
