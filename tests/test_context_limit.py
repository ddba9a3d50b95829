"""A prompt longer than the context is the caller's error, and the answer names both lengths."""

import json

import openai
import pytest

from harness.corral import MODEL, Corral

CONTEXT = 512
LONG = "word " * 3000


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    config = {"models": {"settings": {MODEL: {"context": CONTEXT, "slots": 1}}}}
    with Corral(tmp_path_factory.mktemp("small"), config=json.dumps(config)) as server:
        yield server


def check(answer, subject):
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    tokens = int(error["message"].split(f"the {subject} has ")[1].split(" tokens")[0])
    assert tokens > 2000
    assert f"the context of this model is {CONTEXT} tokens here" in error["message"]
    return error


@pytest.mark.parametrize("options", [{}, {"stream": True}, {"max_tokens": 5}])
def test_chat(small, options):
    assert check(small.chat(LONG, **options), "prompt")["param"] == "messages"


def test_completion(small):
    check(small.post("/v1/completions", {"model": MODEL, "prompt": LONG}), "prompt")


def test_embedding(small):
    answer = small.post("/v1/embeddings", {"model": MODEL, "input": LONG})
    assert check(answer, "input")["param"] == "input"


def test_the_official_client_sees_a_bad_request(small):
    with small.client() as client, pytest.raises(openai.BadRequestError, match="tokens"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": LONG}])


def test_what_fits_is_answered_afterwards(small):
    small.chat(LONG)
    assert small.chat().status_code == 200
