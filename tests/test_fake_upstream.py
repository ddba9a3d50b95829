"""The fake upstreams misbehave exactly as faults.json says, and count what came: shown with curl,
http.client and bare sockets, for the one in Python and for bench_upstream alike."""

import http.client
import json
import socket
import subprocess
import time

import pytest

from harness import faults
from harness.corral import wait_until
from harness.faulty import KINDS
from harness.raw import Raw, request

TOKENS = 10
CHAT = "/v1/chat/completions"


@pytest.fixture(params=KINDS)
def upstream(request):
    with KINDS[request.param](tokens=TOKENS) as one:
        yield one


def asked(stream=False, close=False):
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]})
    headers = ["Content-Type: application/json"] + (["Connection: close"] if close else [])
    return request("POST", CHAT, headers, body.encode())


def raw(upstream, timeout=5):
    return Raw(("127.0.0.1", upstream.port), timeout=timeout)


def exchange(upstream, stream=False):
    with raw(upstream) as one:
        return one.exchange(asked(stream))


def everything(one):
    """All bytes until the end, and how it ended: closed, reset or silent."""
    data = one.buffer
    while True:
        try:
            more = one.socket.recv(65536)
        except ConnectionResetError:
            return data, "reset"
        except TimeoutError:
            return data, "silent"
        if not more:
            return data, "closed"
        data += more


def misbehaved(upstream, stream=False, timeout=0.6):
    with raw(upstream, timeout) as one:
        one.send(asked(stream))
        return everything(one)


def good_size(upstream, stream=False):
    with raw(upstream) as one:
        one.send(asked(stream, close=True))
        data, ended = everything(one)
    assert ended == "closed"
    return len(data)


def tokens_in(data):
    events = [line[6:] for line in data.decode(errors="replace").split("\n") if line.startswith("data: ")]
    said = []
    for event in events:
        if event != "[DONE]" and (parsed := json.loads(event)).get("choices"):
            said.append(parsed["choices"][0]["delta"].get("content"))
    return [text.split("@")[0].strip() for text in said if text]


def test_all_flags_are_those_of_the_description(upstream):
    assert upstream.ask("GET", "/__faults") == faults.AT_REST
    wanted = {"status": 503, "path": "/v1", "hold": False}
    assert upstream.set(**wanted) == {**faults.AT_REST, **wanted}
    assert upstream.set() == faults.AT_REST


def test_unknown_flags_and_types_are_refused(upstream):
    for wrong in ({"stutter": True}, {"status": "500"}, {"refuse": 1}):
        with pytest.raises(ValueError, match="400"):
            upstream.ask("POST", "/__faults", wrong)
    assert exchange(upstream)[0] == 200


def test_at_rest_it_answers(upstream):
    status, headers, body = exchange(upstream)
    assert status == 200 and int(headers["content-length"]) == len(body)
    assert json.loads(body)["choices"][0]["message"]["content"]
    status, headers, body = exchange(upstream, stream=True)
    assert headers["content-type"].startswith("text/event-stream")
    assert len(tokens_in(body)) == TOKENS and body.decode().rstrip().endswith("data: [DONE]")
    for path in ("/health", "/v1/models", "/props"):
        with raw(upstream) as one:
            assert one.exchange(request("GET", path))[0] == 200


def test_refuse_and_return(upstream):
    with raw(upstream) as standing:
        assert standing.exchange(asked())[0] == 200
        upstream.set(refuse=True)
        with pytest.raises(ConnectionResetError):
            standing.socket.recv(1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", upstream.port), timeout=2)
    curl = subprocess.run(["curl", "-s", "-m", "5", f"{upstream.url}/health"], check=False)
    assert curl.returncode == 7  # failed to connect
    upstream.set()
    assert exchange(upstream)[0] == 200


def test_faults_end_by_themselves(upstream):
    begun = time.monotonic()
    upstream.set(refuse=True, for_ms=400)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", upstream.port), timeout=2)

    def answers():
        try:
            return exchange(upstream)[0] == 200
        except OSError:
            return False

    wait_until(answers, 5, "the upstream's return")
    assert time.monotonic() - begun >= 0.35
    assert upstream.ask("GET", "/__faults") == faults.AT_REST


def test_reset_on_accept(upstream):
    upstream.set(reset_on_accept=True)
    with pytest.raises((ConnectionResetError, BrokenPipeError)), raw(upstream) as one:
        one.send(asked())
        one.socket.recv(1)


def test_status_windows_and_counts(upstream):
    upstream.set(status=429, retry_after=7, count=2)
    for _ in range(2):
        status, headers, body = exchange(upstream)
        assert (status, headers["retry-after"]) == (429, "7")
        assert "error" in json.loads(body)
    assert exchange(upstream)[0] == 200
    upstream.set(status=500)
    status, headers, _ = exchange(upstream)
    assert status == 500 and "retry-after" not in headers
    assert upstream.stats()["faulted"] == 3


def test_only_some_requests(upstream):
    upstream.set(status=500, every=3)
    assert [exchange(upstream)[0] for _ in range(6)] == [200, 200, 500, 200, 200, 500]
    upstream.set(status=500, path=CHAT)
    with raw(upstream) as one:
        assert one.exchange(request("GET", "/health"))[0] == 200
        assert one.exchange(asked())[0] == 500


def test_stall_before_the_first_byte(upstream):
    upstream.set(stall=True)
    assert misbehaved(upstream) == (b"", "silent")
    wait_until(lambda: upstream.stats()["cancelled"] == 1, 5, "the count of clients that left")


def test_hold_until_released(upstream):
    upstream.set(hold=True)
    with raw(upstream) as one:
        one.send(asked())
        one.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.socket.recv(1)
        one.socket.settimeout(5)
        assert upstream.stats()["in_flight"] == 1
        upstream.set()
        assert one.answer()[0] == 200
    wait_until(lambda: upstream.stats()["in_flight"] == 0, 5, "its end to be counted")


@pytest.mark.parametrize("way", ["stall", "reset", "close"])
@pytest.mark.parametrize("count", [0, 1, 100, 250])
def test_ends_after_bytes(upstream, way, count):
    upstream.set(**{f"{way}_after_bytes": count})
    data, ended = misbehaved(upstream)
    assert ended == {"stall": "silent", "reset": "reset", "close": "closed"}[way]
    assert len(data) == count


@pytest.mark.parametrize("way", ["stall", "reset", "close"])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_ends_after_tokens(upstream, way, count):
    upstream.set(**{f"{way}_after_tokens": count})
    data, ended = misbehaved(upstream, stream=True)
    assert ended == {"stall": "silent", "reset": "reset", "close": "closed"}[way]
    assert len(tokens_in(data)) == count and b"[DONE]" not in data


def test_whole_answers_stall_with_the_streams(upstream):
    upstream.set(stall_after_tokens=3)
    assert misbehaved(upstream) == (b"", "silent")


def test_streams_go_on_with_a_text(upstream):
    said = tokens_in(exchange(upstream, stream=True)[2])
    body = {"model": "m", "stream": True, "messages": [
        {"role": "user", "content": "Hello!"}, {"role": "assistant", "content": " ".join(said[:4]) + " "}]}
    with raw(upstream) as one:
        _, _, rest = one.exchange(request("POST", CHAT, body=json.dumps(body).encode()))
    assert tokens_in(rest) == said[4:]


def test_error_event_after_tokens(upstream):
    upstream.set(error_after_tokens=3)
    data, _ = misbehaved(upstream, stream=True)
    assert b'"error"' in data and b"[DONE]" not in data


def test_slow_drip(upstream):
    upstream.set(status=500, drip_ms=2)
    begun = time.monotonic()
    with raw(upstream) as one:
        one.send(asked())
        assert len(one.socket.recv(65536)) < 10
        one.buffer = b"HTTP"
        data, _ = one.read_until(b"\r\n\r\n"), None
    assert len(data) > 50
    assert time.monotonic() - begun > 0.1


def test_delay_and_jitter(upstream):
    upstream.set(delay_ms=100, jitter_ms=100)
    took = []
    for _ in range(6):
        begun = time.monotonic()
        assert exchange(upstream)[0] == 200
        took.append(time.monotonic() - begun)
    assert min(took) >= 0.1 and max(took) < 0.6
    assert max(took) - min(took) > 0.005


def test_gap_between_tokens(upstream):
    upstream.set(token_gap_ms=30)
    with raw(upstream) as one:
        one.send(asked(stream=True))
        one.read_until(b"\r\n\r\n")
        times = []
        while len(times) < TOKENS - 1 and one.read_more():
            times.append(time.monotonic())
    assert times[-1] - times[0] >= 0.03 * (TOKENS - 3)


def test_rubbish(upstream):
    upstream.set(rubbish="not_http")
    with pytest.raises(http.client.BadStatusLine):
        plain = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
        plain.request("GET", "/health")
        plain.getresponse()
    upstream.set(rubbish="not_json")
    _, _, body = exchange(upstream)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)
    upstream.set(rubbish="broken_sse")
    data, ended = misbehaved(upstream, stream=True)
    assert ended == "closed" and b"data: {this is no JSON" in data and b"[DONE]" not in data


@pytest.mark.parametrize("by", [40, -40])
def test_lies_in_content_length(upstream, by):
    _, honest, _ = exchange(upstream)
    upstream.set(content_length=by)
    data, ended = misbehaved(upstream)
    head, _, body = data.partition(b"\r\n\r\n")
    assert ended == "closed"
    assert f"content-length: {len(body) + by}" in head.decode().lower()
    assert len(body) == int(honest["content-length"])
    curl = subprocess.run(
        ["curl", "-s", "-m", "5", "-o", "/dev/null", "-d", "{}", upstream.url + CHAT], check=False)
    assert curl.returncode == (18 if by > 0 else 0)  # 18: a partial file


def test_never_closes(upstream):
    upstream.set(never_close=True)
    data, ended = misbehaved(upstream)
    assert ended == "silent" and b"choices" in data and b"content-length" not in data.lower()
    data, ended = misbehaved(upstream, stream=True)
    assert ended == "silent" and len(tokens_in(data)) == TOKENS and b"[DONE]" not in data


def test_doubled_and_misordered_tokens(upstream):
    good = tokens_in(exchange(upstream, stream=True)[2])
    upstream.set(duplicate_token=2)
    assert tokens_in(exchange(upstream, stream=True)[2]) == good[:3] + good[2:]
    upstream.set(swap_tokens=4)
    assert tokens_in(exchange(upstream, stream=True)[2]) == good[:4] + [good[5], good[4]] + good[6:]


def test_counts(upstream):
    begun = int(time.monotonic())
    for _ in range(5):
        exchange(upstream)
    with raw(upstream) as one:
        for _ in range(3):
            one.exchange(asked())
    # An answer is counted once it is sent, which its reader may learn a moment earlier.
    wait_until(lambda: upstream.stats()["answered"] == 8, 5, "all answers to be counted")
    got = upstream.stats()
    assert set(got) == set(faults.STATS)
    assert (got["connections"], got["requests"], got["answered"], got["cancelled"]) == (6, 8, 8, 0)
    assert sum(second[1] for second in got["per_second"]) == 6
    assert sum(second[2] for second in got["per_second"]) == 8
    assert begun <= got["per_second"][0][0] <= time.monotonic()
    upstream.ask("DELETE", "/__stats")
    assert upstream.stats()["requests"] == 0


def test_a_client_that_leaves_midway_is_counted(upstream):
    upstream.set(token_gap_ms=100)
    with raw(upstream) as one:
        one.send(asked(stream=True))
        one.read_until(b"data: ")
    wait_until(lambda: upstream.stats()["cancelled"] == 1, 5, "the count of clients that left")
    wait_until(lambda: upstream.stats()["in_flight"] == 0, 5, "its end to be counted")


def test_many_at_once(upstream):
    upstream.set(hold=True)
    open_ones = [raw(upstream) for _ in range(20)]
    for one in open_ones:
        one.send(asked())
    wait_until(lambda: upstream.stats()["in_flight"] == 20, 5, "all to be there")
    upstream.set()
    assert [one.answer()[0] for one in open_ones] == [200] * 20
    for one in open_ones:
        one.socket.close()
    assert upstream.stats()["most_in_flight"] == 20
