"""A Corral whose one route goes to fake upstreams: what the tests of routes stand on.

    with Bed(folder, count=2, route={"tries": 2}) as bed:
        bed.fakes[0].set(status=500)
        assert bed.ask().headers["x-corral-endpoint"] == "b"
"""

import contextlib
import json
import time

import httpx

from harness.corral import Corral, sse
from harness.fake_answers import WORDS
from harness.fake_upstream import FakeUpstream

ROUTE = "chat"
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello!"}]
# Short pauses, and no probes unless a test is about them: only what it asks reaches the upstreams.
GATEWAY = {"breaker": {"recovery_remote": "60s"}, "health": {"probe_interval": "0s", "slow_start": "0s"}}
POLICY = {"balance": "round_robin", "retry_backoff_min": "5ms", "retry_backoff_max": "20ms", "retry_budget": 1.0}


class Bed:
    """Endpoints a, b, c...; `groups` says in which group each is (all in one when not given).

    `route`, `endpoint` and `gateway` are settings over those above; `routes` are further routes.
    """

    def __init__(self, folder, *, count=2, groups=None, weights=None, route=None, endpoint=None, gateway=None,
                 routes=(), tokens=10, gap=0.0, urls=(), targets=()):
        self.fakes = [FakeUpstream(tokens=tokens, gap=gap) for _ in range(count)]
        self.text = "".join(WORDS[:tokens])
        addresses = [one.url for one in self.fakes] + list(urls)
        self.names = "abcdefgh"[:len(addresses)]
        endpoints = [{"name": name, "binding": "openai", "url": url, "capacity": 64, **(endpoint or {})}
                     for name, url in zip(self.names, addresses)]
        mine = [{"endpoint": name, "model": "backend-m", "group": (groups or [0] * 9)[i],
                 "weight": (weights or [1] * 9)[i]} for i, name in enumerate(self.names)]
        config = {
            "gateway": merged(GATEWAY, gateway or {}),
            "endpoints": endpoints,
            "routes": [{"name": ROUTE, "targets": mine + list(targets), **POLICY, **(route or {})}, *routes],
        }
        self.server = Corral(folder, config=json.dumps(config, indent=1))
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as making:
            for one in self.fakes:
                making.enter_context(one)
            making.enter_context(self.server)
            # One for all: each client of httpx costs tens of milliseconds.
            self.client = making.enter_context(httpx.Client(
                base_url=self.server.url, verify=False, trust_env=False, limits=httpx.Limits(max_connections=None)))
            self.stack = making.pop_all()
        for one in self.fakes:
            one.requests.clear()
            one.reset_stats()
        return self

    def __exit__(self, *ended):
        return self.stack.__exit__(*ended)

    def set(self, **faults):
        for one in self.fakes:
            one.set(**faults)

    def hold(self):
        """Chats wait at the upstreams until the faults are set anew; probes are answered."""
        self.set(hold=True, path=CHAT)

    # --- asking

    def ask(self, model=ROUTE, headers=None, text="Hello!", timeout=30, **options):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **options}
        return self.client.post(CHAT, json=body, headers=headers, timeout=timeout)

    def stream(self, model=ROUTE, headers=None, timeout=30, **options):
        """(response, its events)"""
        body = {"model": model, "messages": HELLO, "stream": True, **options}
        with self.client.stream("POST", CHAT, json=body, headers=headers, timeout=timeout) as response:
            return response, list(sse(response.iter_lines()))

    def asked(self):
        """How many chats each upstream was sent."""
        return [len(one.requests) for one in self.fakes]

    def endpoint(self, name):
        """The entry of GET /admin/v1/endpoints."""
        answer = self.server.get("/admin/v1/endpoints")
        assert answer.status_code == 200, answer.text
        document = answer.json()
        entries = document if isinstance(document, list) else next(
            value for value in document.values() if isinstance(value, list))
        return next(entry for entry in entries if entry["name"] == name)

    def breakers(self, name):
        """The breaker states that the entry shows: closed, open, half_open."""
        return set(states_in(self.endpoint(name)))


@contextlib.contextmanager
def beds(folder):
    """Gives a function that makes started beds; all end with the block."""
    with contextlib.ExitStack() as stack:
        made = 0

        def make(**options):
            nonlocal made
            made += 1
            return stack.enter_context(Bed(folder / f"bed{made}", **options))

        yield make


def states_in(value, breaker=False):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from states_in(inner, breaker or "breaker" in key)
    elif isinstance(value, list):
        for inner in value:
            yield from states_in(inner, breaker)
    elif breaker and value in ("closed", "open", "half_open"):
        yield value


def merged(under, over):
    out = dict(under)
    for key, value in over.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and key in out else value
    return out


def said(events):
    """The text of a stream's events."""
    return "".join(one["choices"][0]["delta"].get("content") or "" for one in events
                   if one != "[DONE]" and one.get("choices"))


def error_in(events):
    return next((one["error"] for one in events if one != "[DONE]" and "error" in one), None)


def timed(call):
    """(result, seconds)"""
    begun = time.monotonic()
    result = call()
    return result, time.monotonic() - begun
