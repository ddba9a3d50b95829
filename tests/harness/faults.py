"""The misbehaviours of the fake upstreams, and how they are switched while the upstream runs.

faults.json is the one description: each flag's value at rest and what it does. FakeUpstream (Python,
for tests of function) and bench_upstream (C++, for load) both know all of them, and
test_fake_upstream.py holds both to it. The control port speaks HTTP:

    GET /__faults      all flags as they are
    POST /__faults     sets those of the JSON object; all others go to rest ({} ends every fault)
    GET /__stats       what came (see STATS)
    DELETE /__stats    counts from zero again
"""

import http.client
import json
import pathlib

FLAGS = json.loads(pathlib.Path(__file__).with_name("faults.json").read_text())
AT_REST = {name: flag["is"] for name, flag in FLAGS.items()}
STATS = {
    "connections": "accepted",
    "requests": "whole requests read",
    "answered": "answered to the end, whatever the answer was",
    "cancelled": "left by the client before the end",
    "faulted": "requests that a fault was applied to",
    "in_flight": "being answered now",
    "most_in_flight": "the most at once",
    "per_second": "[[second of the monotonic clock, connections, requests], ...]",
}
SETTLED_BY_SERVER = {"count", "for_ms"}


def checked(wanted):
    """All flags, with those of `wanted`; ValueError for an unknown one or a wrong type."""
    for name, value in wanted.items():
        if name not in AT_REST:
            raise ValueError(f"no fault is called {name!r}")
        if type(value) is not type(AT_REST[name]):
            raise ValueError(f"{name} wants {type(AT_REST[name]).__name__}, not {value!r}")
    return {**AT_REST, **wanted}


class Control:
    """The control port of an upstream of either kind."""

    def __init__(self, port, host="127.0.0.1"):
        self.host, self.port = host, port

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def set(self, **wanted):
        return self.ask("POST", "/__faults", checked_names(wanted))

    def clear(self):
        return self.set()

    def faults(self):
        return self.ask("GET", "/__faults")

    def stats(self):
        return self.ask("GET", "/__stats")

    def reset_stats(self):
        return self.ask("DELETE", "/__stats")


def checked_names(wanted):
    checked(wanted)
    return wanted
