"""Streams that go on elsewhere: two real llama-servers, one of which is killed in the middle.

What the continuation says is compared with what the surviving server says when it is asked directly to
go on with the same text: byte for byte, so that nothing is repeated and nothing lost. It need not be what
the first server would have said: the text is cut into tokens anew.
"""

import contextlib
import json
import socket
import threading
import time

import httpx
import pytest

from harness import slow_model
from harness.corral import MODEL, MODELS, Corral, sse, wait_until
from harness.llama_servers import LlamaServer

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@contextlib.contextmanager
def bed(folder, model, *, slots=1, relay=None):
    """A route over two llama-servers; the second is asked when the first fails."""
    with LlamaServer(model, slots=slots) as one, LlamaServer(model, slots=slots) as two:
        for server in (one, two):
            wait_until(lambda url=server.url: healthy(url), 60, "llama-server to load its model")
        with relay(one) if relay else contextlib.nullcontext(one) as first:
            targets = [{"endpoint": name, "model": model.stem, "group": i} for i, name in enumerate("ab")]
            config = {
                "gateway": {"health": {"probe_interval": "0s"}},
                "endpoints": [{"name": "a", "binding": "llamacpp", "url": first.url, "capacity": slots},
                              {"name": "b", "binding": "llamacpp", "url": two.url, "capacity": slots}],
                "routes": [{"name": "chat", "targets": targets, "resume": True, "retry_backoff_min": "5ms"}],
            }
            with Corral(folder, config=json.dumps(config), models=None) as corral:
                yield corral, one, two


def healthy(url):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url + "/health", timeout=5, trust_env=False).status_code == 200
    return False


def pieces_of(url, path, body, after=None):
    """The text of a stream as it came, piece by piece, and its events; `after(count)` sees each."""
    said, events = [], []
    with httpx.stream("POST", url + path, json=body | {"stream": True}, timeout=120, trust_env=False) as response:
        assert response.status_code == 200, response.read()
        for event in sse(response.iter_lines()):
            events.append(event)
            if event == "[DONE]" or not event.get("choices"):
                continue
            choice = event["choices"][0]
            piece = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            if piece:
                said.append(piece)
                if after:
                    after(len(said))
    return said, events


def one_stream(events):
    """It looks like the stream of one server: one id, one beginning, one end."""
    assert events[-1] == "[DONE]" and events.count("[DONE]") == 1, events[-3:]
    chunks = events[:-1]
    assert not any("error" in one for one in chunks), chunks[-1]
    assert len({one["id"] for one in chunks}) == 1
    finishes = [one["choices"][0].get("finish_reason") for one in chunks if one.get("choices")]
    assert [one for one in finishes if one] == finishes[-1:], finishes
    roles = [one for one in chunks if one.get("choices") and (one["choices"][0].get("delta") or {}).get("role")]
    assert len(roles) <= 1
    return finishes[-1]


def continuation(server, path, body, said, most):
    """What a server says when it is asked directly to go on after `said`."""
    text = "".join(said)
    if path == CHAT:
        more = {"messages": [*body["messages"], {"role": "assistant", "content": text}],
                "continue_final_message": True, "add_generation_prompt": False}
    else:
        more = {"prompt": body["prompt"] + text}
    return "".join(pieces_of(server.url, path, body | more | {"max_tokens": most})[0])


SPEECH = {"model": "chat", "messages": [{"role": "user", "content": "Tell me a long story."}]}
LETTERS = {"model": "chat", "prompt": "Once upon a time"}


@pytest.mark.parametrize("path,words", [(CHAT, SPEECH), (COMPLETIONS, LETTERS)], ids=["chat", "completions"])
def test_a_stream_whose_server_is_killed_goes_on_at_the_other(tmp_path, path, words):
    most, kill_at = 40, 8
    # The prompt is read anew each time, so that the arithmetic, and with it the answer, is the same.
    body = words | {"temperature": 0, "max_tokens": most, "ignore_eos": True, "cache_prompt": False,
                    "stream_options": {"include_usage": True}}
    with bed(tmp_path, slow_model.folder() / "slow.gguf") as (corral, one, two):
        killed = []

        def kill(count):
            if count == kill_at:
                one.kill()
                killed.append(count)

        said, events = pieces_of(corral.url, path, body, kill)
        assert killed, "the stream ended before its server was killed"
        assert one_stream(events) == "length"
        text = "".join(said)
        # Where it broke is known to Corral alone: somewhere after what the client had seen by then.
        cuts = range(kill_at, min(kill_at + 12, len(said)))
        found = next((cut for cut in cuts
                      if continuation(two, path, body, said[:cut], most - cut) == "".join(said[cut:])), None)
        assert found, f"no piece of the stream after which the other server says the rest:\n{text}"
        usage = next(one["usage"] for one in events if one != "[DONE]" and one.get("usage"))
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        wait_until(lambda: corral.metric("corral_route_resumed_total", route="chat") == 1, 5, "the resumption to count")


class Relay:
    """Between Corral and a llama-server: passes the events of a stream on slowly, and kills the server
    after some of them, in the middle of its answer."""

    def __init__(self, server, kill_after, gap=0.03):
        self.server, self.kill_after, self.gap = server, kill_after, gap
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.cut = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client:
            with socket.create_connection(("127.0.0.1", self.server.port)) as backend:
                threading.Thread(target=self.pump, args=(client, backend), daemon=True).start()
                said = 0
                stream = backend.makefile("rb")
                while line := stream.readline():
                    if b'"content":"' in line:
                        said += 1
                        time.sleep(self.gap)
                        if said > self.kill_after:
                            self.server.kill()
                            self.cut.set()
                            # The other thread reads from it: closing alone would not end it.
                            client.shutdown(socket.SHUT_RDWR)
                            return
                    client.sendall(line)

    @staticmethod
    def pump(client, backend):
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                backend.sendall(piece)


QUESTION = "What is Corral?"


@pytest.mark.parametrize("kill_after", [1, 3, 6])
def test_the_bundled_model_says_the_same_as_if_nothing_had_happened(tmp_path, kill_after):
    model = MODELS / f"{MODEL}.gguf"
    relays = []

    def relay(server):
        relays.append(Relay(server, kill_after))
        return relays[-1]

    body = {"model": "chat", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 200}
    with bed(tmp_path, model, relay=relay) as (corral, one, two):
        unbroken = "".join(pieces_of(two.url, CHAT, body)[0])
        said, events = pieces_of(corral.url, CHAT, body)
        assert relays[0].cut.is_set(), "the server was not killed in time"
        assert one_stream(events) == "stop"
        assert "".join(said) == unbroken
