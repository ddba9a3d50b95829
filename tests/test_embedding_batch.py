"""Requests for embeddings that come together, on the real engine: joined they say the same as alone."""

import math
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from harness.corral import MODEL, Corral

EMBEDDINGS = "/v1/embeddings"
TEXTS = ["What is Corral?", "The quick brown fox", "A", "Four", *[f"Number {i} of many texts" for i in range(36)]]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    # A long window: the tests are about what is joined, not about how fast it goes.
    with Corral(tmp_path_factory.mktemp("corral"), config="gateway: {embedding_batch: 100ms}\n") as one:
        one.post(EMBEDDINGS, {"model": MODEL, "input": "load"})
        with httpx.Client(base_url=one.url, timeout=120, trust_env=False,
                          limits=httpx.Limits(max_connections=None)) as client:
            one.http = client
            yield one


def embed(server, text, **more):
    return server.http.post(EMBEDDINGS, json={"model": MODEL, "input": text, **more})


def together(server, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: embed(server, **request), requests))


def vectors(answer):
    data = answer.json()["data"]
    assert [one["index"] for one in data] == list(range(len(data)))
    return [one["embedding"] for one in data]


def alike(one, other):
    """Nearly the same direction: sums in another order differ in the last digits."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other)) > 0.999


def batches(answers):
    return [int(one.headers.get("x-corral-batch", 1)) for one in answers]


def test_joined_answers_are_those_of_each_alone(server):
    texts = TEXTS
    alone = [embed(server, text) for text in texts]
    assert all("x-corral-batch" not in one.headers for one in alone)
    before = server.metric("corral_embedding_batched_requests_total")
    joined = together(server, [{"text": text} for text in texts])
    assert [one.status_code for one in joined] == [200] * len(texts)
    assert max(batches(joined)) > 1, "nothing was joined"
    assert server.metric("corral_embedding_batched_requests_total") - before == sum(
        1 for one in batches(joined) if one > 1)
    for first, second in zip(alone, joined):
        assert alike(*[vectors(one)[0] for one in (first, second)])
        assert second.json()["model"] == MODEL
        assert second.json()["usage"]["prompt_tokens"] >= 1
    total = sum(one.json()["usage"]["total_tokens"] for one in alone)
    assert sum(one.json()["usage"]["total_tokens"] for one in joined) == total


def test_bodies_with_several_inputs_are_joined_too(server):
    requests = [{"text": TEXTS[4 + i:4 + i + 1 + i % 3]} for i in range(20)]
    alone = [embed(server, **request) for request in requests]
    joined = together(server, requests)
    assert max(batches(joined)) > 1
    for request, first, second in zip(requests, alone, joined):
        one, other = vectors(first), vectors(second)
        assert len(other) == len(request["text"])
        assert all(alike(*pair) for pair in zip(one, other, strict=True))


def test_one_bad_input_fails_nobody_else(server):
    """It is longer than the model's context."""
    good = [{"text": f"A good text, number {i}"} for i in range(12)]
    bad = {"text": "far too long " * 20_000}
    answers = together(server, [*good[:6], bad, *good[6:]])
    assert answers[6].status_code >= 400 and answers[6].json()["error"]["message"]
    assert [one.status_code for one in answers[:6] + answers[7:]] == [200] * 12
    assert all(len(vectors(one)) == 1 for one in answers[:6] + answers[7:])


def test_other_forms_are_not_mixed(server):
    answers = together(server, [{"text": "the same", **({"encoding_format": "base64"} if i % 2 else {})}
                                for i in range(16)])
    for i, one in enumerate(answers):
        assert one.status_code == 200
        assert isinstance(one.json()["data"][0]["embedding"], str if i % 2 else list)


def test_it_can_be_turned_off(tmp_path):
    with Corral(tmp_path, config="gateway: {embedding_batch: 0s}\n") as one:
        with httpx.Client(base_url=one.url, timeout=120, trust_env=False) as client:
            one.http = client
            assert embed(one, "load").status_code == 200
            answers = together(one, [{"text": text} for text in TEXTS[:8]])
    assert all(answer.status_code == 200 for answer in answers)
    assert batches(answers) == [1] * len(answers)
