"""The queue of a route: who waits, in which order, how long, and what becomes of it when every endpoint
is gone for a while."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.corral import wait_until
from harness.raw import Raw, request
from harness.route_bed import CHAT, ROUTE, beds, timed

pytestmark = pytest.mark.long

ONE = {"capacity": 1}


@pytest.fixture
def bed(tmp_path):
    with beds(tmp_path) as make:
        yield make


def waiting(bed, count):
    """Waits until so many requests wait in the queue: one is at the upstream, and nothing has ended."""
    wait_until(lambda: queued(bed) >= count, 5, f"{count} waiting requests")


def queued(bed):
    """Requests that Corral has and the upstream has not; the one that asks for the metrics counts, too."""
    return int(bed.server.metric("corral_requests_in_flight")) - 1 - bed.fakes[0].stats()["in_flight"]


def order_of(fake):
    return [body["messages"][0]["content"] for _, _, body in fake.requests]


def test_the_queue_says_position_and_wait(bed):
    one = bed(count=1, endpoint=ONE)
    one.hold()
    with ThreadPoolExecutor(4) as pool:
        asked = []
        for number in range(3):
            asked.append(pool.submit(one.ask, text=f"{number}"))
            waiting(one, number)
            time.sleep(0.1)
        one.set()
        answers = [each.result() for each in asked]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "x-corral-queue-position" not in answers[0].headers
    assert [int(answer.headers["x-corral-queue-position"]) for answer in answers[1:]] == [1, 2]
    assert all(int(answer.headers["x-corral-queue-wait-ms"]) >= 50 for answer in answers[1:])
    assert one.fakes[0].stats()["most_in_flight"] <= 2  # the fake counts one out only after its last byte
    assert order_of(one.fakes[0]) == ["0", "1", "2"]


def learned(one, requests):
    """What is known of the work at endpoint a: an answer counts once it is over, which its reader may
    know a moment earlier."""

    def work():
        seen = one.endpoint("a")["models"][0]["work"]
        return seen and seen[0]["requests"] == requests and seen

    return wait_until(work, 5, f"{requests} answers to be learned from")


def test_the_wait_is_told_by_what_such_work_took(bed):
    one = bed(count=1, endpoint=ONE, tokens=10, gap=0.3)  # about 3 s each
    with ThreadPoolExecutor(2) as pool:
        assert pool.submit(one.stream).result()[1]  # one answer teaches
        first = pool.submit(one.stream)
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        body = {"model": ROUTE, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
        with one.client.stream("POST", CHAT, json=body, timeout=30) as answer:
            lines = list(answer.iter_lines())
        assert first.result()[1]
    told = [line for line in lines if line.startswith(": queued, position 1, about ")]
    assert told, lines
    assert 0.5 < float(told[0].split()[-2]) < 10, told  # under 3 s on a machine that is not busy
    assert int(answer.headers["x-corral-queue-estimate-ms"]) > 500
    work = learned(one, requests=3)
    assert [(each["operation"], each["stream"], each["requests"]) for each in work] == [("chat", True, 3)]
    assert work[0]["usual_ms"] > 2000
    shown = one.server.cli("routes", "explain", ROUTE).stdout
    assert "FOR EACH KIB OF INPUT" in shown and "chat, streamed" in shown, shown


def test_what_was_learned_is_there_after_a_restart(bed):
    one = bed(count=1, endpoint=ONE, tokens=10, gap=0.2)  # about 2 s
    assert one.stream()[1]
    before = learned(one, requests=1)
    server = one.server
    server.stop()
    server.urls.clear()
    server.start()
    one.client.base_url = server.url
    assert one.endpoint("a")["models"][0]["work"] == before
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.stream)
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        body = {"model": ROUTE, "messages": [{"role": "user", "content": "Hello!"}], "stream": True}
        with one.client.stream("POST", CHAT, json=body, timeout=30) as answer:
            list(answer.iter_lines())
        assert first.result()[1]
    assert int(answer.headers["x-corral-queue-estimate-ms"]) > 300  # the first to wait is told already


def test_a_full_queue_is_503_with_retry_after(bed):
    one = bed(count=1, endpoint=ONE, route={"queue_limit": 1})
    one.hold()
    with ThreadPoolExecutor(4) as pool:
        kept = [pool.submit(one.ask)]
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        kept.append(pool.submit(one.ask))
        waiting(one, 1)
        answer, seconds = timed(one.ask)
        one.set()
        assert [each.result().status_code for each in kept] == [200, 200]
    assert answer.status_code == 503 and seconds < 1
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["message"]


def test_waiting_has_an_end(bed):
    one = bed(count=1, endpoint=ONE, route={"queue_timeout": "500ms"})
    one.hold()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ask)
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        answer, seconds = timed(one.ask)
        one.set()
        assert first.result().status_code == 200
    assert answer.status_code in (503, 504) and 0.4 < seconds < 3
    assert int(answer.headers["retry-after"]) >= 1


def test_a_client_that_leaves_leaves_the_queue(bed):
    one = bed(count=1, endpoint=ONE)
    one.hold()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(one.ask, text="first")
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        leaver = Raw(one.server.address)
        body = {"model": ROUTE, "messages": [{"role": "user", "content": "leaver"}]}
        leaver.send(request("POST", CHAT, ["Content-Type: application/json"], json.dumps(body).encode()))
        waiting(one, 1)
        last = pool.submit(one.ask, text="last")
        waiting(one, 2)
        leaver.socket.close()
        wait_until(lambda: queued(one) == 1, 5, "the queue to forget who left")
        one.set()
        assert [first.result().status_code, last.result().status_code] == [200, 200]
    assert order_of(one.fakes[0]) == ["first", "last"]


def test_high_overtakes_low(bed):
    one = bed(count=1, endpoint=ONE)
    one.hold()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(one.ask, text="begun")]
        wait_until(lambda: one.fakes[0].stats()["in_flight"] == 1, 5, "the first request to be there")
        for number, priority in enumerate(["low", "low", "normal", "high", "high"], 1):
            asked.append(pool.submit(one.ask, text=priority, headers={"x-corral-priority": priority}))
            waiting(one, number)
        one.set()
        assert [each.result().status_code for each in asked] == [200] * 6
    assert order_of(one.fakes[0]) == ["begun", "high", "high", "normal", "low", "low"]


def test_a_priority_above_the_right_is_lowered_and_said(bed):
    one = bed(count=1, gateway={"max_priority": "normal"})
    answer = one.ask(headers={"x-corral-priority": "high"})
    assert answer.status_code == 200
    assert answer.headers["x-corral-priority"].startswith("normal")


def test_an_unknown_priority_is_refused(bed):
    answer = bed(count=1).ask(headers={"x-corral-priority": "urgent"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "x-corral-priority"


def test_two_keys_share_fairly(bed):
    """The second key asks when twenty of the first wait already; it need not wait for them all."""
    one = bed(count=1, endpoint=ONE)
    one.hold()
    with ThreadPoolExecutor(32) as pool:
        asked = []
        for number in range(21):
            asked.append(pool.submit(one.ask, text="greedy", headers={"authorization": "Bearer key-one"}))
            waiting(one, number)
        for number in range(5):
            asked.append(pool.submit(one.ask, text="modest", headers={"authorization": "Bearer key-two"}))
            waiting(one, 21 + number)
        one.set()
        assert all(each.result().status_code == 200 for each in asked)
    order = order_of(one.fakes[0])
    last_modest = max(index for index, who in enumerate(order) if who == "modest")
    assert last_modest <= 12, order
    assert order[:last_modest].count("greedy") >= 3  # and neither is pushed aside


# --- everything is gone for a while


def test_clients_wait_while_all_are_down(bed):
    one = bed(endpoint={"capacity": 4}, route={"queue_timeout": "20s"},
              gateway={"breaker": {"recovery_remote": "60s"},
                       "health": {"probe_interval": "500ms", "probe_timeout": "500ms", "strikes": 2}})
    one.set(refuse=True)
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(one.ask, text=f"{number}") for number in range(40)]
        time.sleep(4)
        one.fakes[0].reset_stats()
        one.fakes[0].set(delay_ms=50)
        back = time.monotonic()
        wait_until(lambda: one.fakes[0].stats()["answered"] > 0 and any(
            each.done() and each.result().status_code == 200 for each in asked), 2, "the first success")
        assert time.monotonic() - back < 2
        answers = [each.result() for each in asked]
    good = [answer for answer in answers if answer.status_code == 200]
    told = [answer for answer in answers if answer.status_code in (429, 503) and "retry-after" in answer.headers]
    others = [(answer.status_code, answer.text) for answer in answers if answer not in good + told]
    assert good and not others
    assert one.fakes[0].stats()["most_in_flight"] <= 5  # its capacity, and a probe


def test_no_endpoint_at_all_is_503_with_retry_after(bed):
    one = bed(route={"queue_timeout": "500ms"})
    one.set(refuse=True)
    answer, seconds = timed(one.ask)
    assert answer.status_code in (502, 503), answer.text
    answer, _ = timed(one.ask)
    for _ in range(10):
        answer = one.ask()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert seconds < 5
