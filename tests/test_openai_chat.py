"""Every OpenAI route, driven by the official Python package."""

import json

import openai
import pytest

from harness.corral import MODEL
from harness.fake_upstream import FakeUpstream

HELLO = [{"role": "user", "content": "Hello!"}]


def test_chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_chat_streams_the_same_text(client):
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0)
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, stream=True))
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_include_usage(client):
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=HELLO, temperature=0, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_ends_with_done(corral):
    text = corral.chat(stream=True).text
    assert text.rstrip().endswith("data: [DONE]")


def test_max_tokens_ends_with_length(client):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def test_stop(client):
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0).choices[0].message.content
    mark = whole[len(whole) // 2 :][:3]
    cut = client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, stop=[mark])
    assert cut.choices[0].message.content == whole[: whole.index(mark)]
    assert cut.choices[0].finish_reason == "stop"


def test_several_choices(client):
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=2, temperature=0.8, seed=7)
    assert sorted(choice.index for choice in answer.choices) == [0, 1]
    assert all(choice.message.content for choice in answer.choices)


def test_logprobs(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, temperature=0, max_tokens=3, logprobs=True, top_logprobs=2
    )
    entries = answer.choices[0].logprobs.content
    assert len(entries) == 3
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 2


def test_json_schema(client):
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green", "blue"]}, "count": {"enum": [1, 2, 3]}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a colour and a number."}],
        temperature=0,
        max_tokens=100,
        response_format={"type": "json_schema", "json_schema": {"name": "pick", "schema": schema, "strict": True}},
    )
    value = json.loads(answer.choices[0].message.content)
    assert set(value) == {"colour", "count"}
    assert value["colour"] in ("red", "green", "blue") and value["count"] in (1, 2, 3)


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a town",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


def test_tools_reach_the_engine(client):
    """The bundled model was not taught to call tools; that they enter its prompt shows in its length."""
    bare = client.chat.completions.create(model=MODEL, messages=WEATHER, max_tokens=1)
    told = client.chat.completions.create(model=MODEL, messages=WEATHER, max_tokens=1, tools=[TOOL])
    assert told.usage.prompt_tokens > bare.usage.prompt_tokens


def test_tool_calls_of_an_endpoint(fresh):
    with FakeUpstream() as upstream:
        config = f"""
endpoints:
  - {{name: elsewhere, binding: openai, url: "{upstream.url}/v1", models: ["shown=hidden"], api_key: key-of-theirs}}
"""
        server = fresh(config=config).start()
        with server.client() as client:
            options = {"model": "shown", "messages": WEATHER, "tools": [TOOL], "tool_choice": "required"}
            whole = client.chat.completions.create(**options)
            stream = list(client.chat.completions.create(**options, stream=True))
    assert whole.choices[0].finish_reason == "tool_calls"
    call = whole.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"town":"Paris"}')

    deltas = [one.choices[0].delta.tool_calls[0] for one in stream if one.choices and one.choices[0].delta.tool_calls]
    assert deltas[0].function.name == "get_weather"
    assert "".join(one.function.arguments for one in deltas) == '{"town":"Paris"}'

    for path, headers, body in upstream.requests:
        assert path == "/v1/chat/completions"
        assert headers["authorization"] == "Bearer key-of-theirs"
        assert body["model"] == "hidden"
        assert body["tools"] == [TOOL] and body["tool_choice"] == "required"
    assert "key-of-theirs" not in server.log_text()


def test_completion(client):
    answer = client.completions.create(model=MODEL, prompt="Hello", temperature=0, max_tokens=4)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.usage.completion_tokens == 4


def test_completion_streams(client):
    chunks = list(client.completions.create(model=MODEL, prompt="Hello", temperature=0, max_tokens=4, stream=True))
    whole = client.completions.create(model=MODEL, prompt="Hello", temperature=0, max_tokens=4)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings(client, encoding):
    answer = client.embeddings.create(model=MODEL, input=["one", "two"], encoding_format=encoding)
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.data[0].embedding and answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens > 0


def test_models(client):
    listed = list(client.models.list())
    assert MODEL in [model.id for model in listed]
    one = client.models.retrieve(MODEL)
    assert (one.id, one.object) == (MODEL, "model")
    assert one.created > 0 and one.owned_by


def test_unknown_model_is_a_404_naming_the_nearest(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="corral-tony", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert MODEL in caught.value.body["message"]
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("corral-tony")
    assert caught.value.code == "model_not_found"


def test_async_client(corral):
    import asyncio

    async def ask():
        async with openai.AsyncOpenAI(base_url=corral.url + "/v1", api_key="none", max_retries=0) as client:
            asks = [client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0) for _ in range(4)]
            return await asyncio.gather(*asks)

    texts = {answer.choices[0].message.content for answer in asyncio.run(ask())}
    assert len(texts) == 1


def test_api_key(fresh):
    server = fresh(env={"CORRAL_SERVER_API_KEY": "open-sesame-12"}).start()
    assert server.get("/health").json()["api_key_required"] is True
    with server.client(api_key="wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    with server.client(api_key="open-sesame-12") as client:
        assert MODEL in [model.id for model in client.models.list()]
    assert "open-sesame-12" not in server.log_text()
