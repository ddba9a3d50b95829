"""Metrics, health and logs, as an operator sees them."""

import json
import os
import pathlib
import re

from harness.corral import MODEL, wait_until

GOLDEN = pathlib.Path(__file__).with_name("metrics.golden")


def families(text):
    """One line per family: its type, its name, and the labels of its series."""
    labels, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif line and not line.startswith("#"):
            series = line.rpartition(" ")[0]
            name = re.sub(r"_(bucket|sum|count)$", "", series.split("{")[0])
            name = name if name in types else series.split("{")[0]
            found = set(re.findall(r'(\w+)="', series)) - {"le"}
            labels.setdefault(name, set()).update(found)
    return [f"{types[name]} {name}{{{','.join(sorted(labels.get(name, ())))}}}" for name in sorted(types)]


# One endpoint that nobody answers at, whose breaker opens at once, and a model with two engines: so all families
# have a series.
DEAD = f"""
models:
  settings:
    {MODEL}: {{min_replicas: 2, max_replicas: 2}}
gateway:
  breaker: {{failures: 1}}
  health: {{probe_interval: 0s}}
endpoints:
  - {{name: dead, binding: openai, url: 'http://127.0.0.1:1', models: [dead]}}
routes:
  - {{name: gone, tries: 1, targets: [{{endpoint: dead, model: dead}}]}}
docker:
  socket: /nonexistent/docker.sock
  containers: [{{name: boxed, image: 'a/b:1', port: 80}}]
"""


def test_all_metric_names_stand_in_the_golden_file(fresh):
    server = fresh(config=DEAD).start()
    assert server.chat().status_code == 200
    assert server.chat(model="nobody").status_code == 404
    assert server.chat(model="gone").status_code in (502, 503)
    wait_until(lambda: server.metric("corral_breaker_transitions_total", endpoint="dead", to="open") == 1
               and server.metric("corral_route_requests_total", route="gone") == 1, 5, "what is measured each second")
    wait_until(lambda: server.metric("corral_replicas", state="ready") == 2, 30, "both engines")
    found = families(server.get("/metrics").text)
    assert found == GOLDEN.read_text().split("\n")[:-1], "the names are an interface: change the file knowingly"


def test_requests_are_counted(corral):
    before = corral.metric("api_requests_total")
    tokens = corral.metric("corral_completion_tokens_total", model=MODEL)
    answer = corral.chat()
    made = answer.json()["usage"]["completion_tokens"]
    wait_until(
        lambda: corral.metric("corral_completion_tokens_total", model=MODEL) == tokens + made, 5, "the tokens"
    )
    assert corral.metric("api_requests_total") > before


def test_streams_are_counted_alike(corral):
    tokens = corral.metric("corral_completion_tokens_total", model=MODEL)
    made = corral.chat().json()["usage"]["completion_tokens"]
    assert corral.chat(stream=True).status_code == 200
    wait_until(
        lambda: corral.metric("corral_completion_tokens_total", model=MODEL) == tokens + 2 * made, 5, "the tokens"
    )


def test_health(corral):
    answer = corral.get("/health").json()
    assert {"status", "version", "api_key_required"} <= set(answer)
    assert answer["status"] == "ok" and answer["api_key_required"] is False
    assert corral.get("/health/ready").status_code == 200


def test_health_on_every_listener(fresh):
    server = fresh(listen=("127.0.0.1:0", "127.0.0.1:0")).start()
    assert len(set(server.urls)) == 2
    for url in list(server.urls):
        server.urls[0] = url
        assert server.get("/health").status_code == 200


def test_access_log(corral):
    corral.get("/v1/models?secret=1", headers={"x-request-id": "for-the-access-log"})
    line = next(
        line for line in wait_until(
            lambda: [one for one in corral.log_text().splitlines() if "for-the-access-log" in one], 5, "the line"
        )
    )
    assert "/v1/models" in line and "200" in line and "GET" in line
    assert "secret=1" not in line


def test_prompts_are_not_logged(corral):
    assert corral.chat("xyzzy-the-prompt").status_code == 200
    assert "xyzzy-the-prompt" not in corral.log_text()


def test_json_logs(fresh):
    server = fresh(config="log:\n  format: json\n").start()
    assert server.chat().status_code == 200
    wait_until(lambda: "chat/completions" in server.log_text(), 5, "the access log")
    records = [json.loads(line) for line in server.log_text().splitlines()]
    assert all({"time", "level", "component", "message"} <= set(record) for record in records)
    assert any(record["component"] == "access" for record in records)


def test_a_forged_line_stays_one_line(fresh):
    server = fresh().start()
    server.get("/v1/models/%0AERROR%20forged")
    server.get("/health", headers={"user-agent": "x\tERROR forged"})
    wait_until(lambda: "/health" in server.log_text(), 5, "the access log")
    assert not [line for line in server.log_text().splitlines() if line.startswith("ERROR forged")]


def test_a_full_disk_for_logs(fresh):
    server = fresh(config="log:\n  file: /dev/full\n").start()
    for _ in range(5):
        assert server.get("/health").status_code == 200
    assert server.chat().status_code == 200
    wait_until(lambda: server.metric("corral_log_records_lost") > 0, 5, "the lost records to be counted")


def test_small_at_rest(fresh):
    server = fresh(models=None).start()
    limit = 100e6 if "LLVM_PROFILE_FILE" in os.environ else 20e6  # an instrumented build is no measure
    assert server.metric("corral_resident_bytes") < limit
