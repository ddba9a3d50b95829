"""Benchmarks of the bundled model with the real engine: measured, kept, cancelled, tuned."""

import json

import psutil

from harness.corral import MODEL, Corral, wait_until

BENCH = f"/admin/v1/models/{MODEL}/bench"
SMALL = {"prompts": [32], "concurrency": [1, 2], "tokens": 8, "repeats": 1, "budget": "30s"}


def over(server, operation):
    found = server.get(f"/admin/v1/operations/{operation}").json()
    return found if found["state"] != "running" else None


def finish(server, body, timeout=90):
    answer = server.post(BENCH, body)
    assert answer.status_code == 202, answer.text
    operation = answer.json()["id"]
    assert answer.headers["location"] == f"/admin/v1/operations/{operation}"
    return wait_until(lambda: over(server, operation), timeout, "the end of the benchmark")


def past(server):
    return server.get(f"/admin/v1/models/{MODEL}/benchmarks").json()


def engines(server):
    return [child.pid for child in psutil.Process(server.process.pid).children(recursive=True)]


def test_measures_and_remembers_after_a_restart(tmp_path):
    with Corral(tmp_path) as server:
        done = server.cli("bench", MODEL, "--prompts", "32,64", "--concurrency", "1,2", "--tokens",
                          "8", "--repeats", "1", "--budget", "30s", timeout=120)
        assert done.returncode == 0, done.stderr
        assert "PROMPT TOKENS/S" in done.stdout and "MiB at most" in done.stdout
        result = past(server)["benchmarks"][0]["result"]
        assert not engines(server)
    assert result["purpose"] == "chat" and result["engine"]
    assert result["measures"][0]["prompt_tokens"] == 32
    for measure in result["measures"]:
        assert measure["prompt_tokens_per_second"] > 0
        assert measure["generation_tokens_per_second"] > 0
        assert 0 < measure["first_token_p50_ms"] <= measure["first_token_worst_ms"]
    # What it took is what was thought, within what the first pages vary.
    assert 0.7 < result["resident_peak_bytes"] / result["estimated_bytes"] < 1.2
    assert result["load_seconds"] > 0

    with Corral(tmp_path) as server:
        assert past(server)["benchmarks"][0]["result"] == result
        assert "tokens/s of prompt" in server.cli("show", MODEL).stdout
        last = json.loads(server.cli("bench", MODEL, "--last", "--json").stdout)
        assert last["result"] == result


def test_embeddings_and_bad_wishes(corral):
    done = finish(corral, SMALL | {"purpose": "embedding", "concurrency": [2]})
    assert done["state"] == "succeeded", done
    measure = past(corral)["benchmarks"][0]["result"]["measures"][0]
    assert measure["requests_per_second"] > 0 and measure["generation_tokens_per_second"] == 0
    for body, field in (({"repeats": 0}, "repeats"), ({"prompts": ["x"]}, "prompts"),
                        ({"speed": 1}, "speed"), ({"prompts": [1_000_000]}, "prompts")):
        refused = corral.post(BENCH, body)
        assert refused.status_code == 422 and field in refused.text, refused.text
    assert corral.post("/admin/v1/models/nobody/bench", {}).status_code == 404


def test_cancelled_it_gives_the_memory_back(corral):
    answer = corral.post(BENCH, SMALL | {"tokens": 900, "repeats": 100, "budget": "10m"})
    operation = answer.json()["id"]
    wait_until(lambda: [each for each in corral.get("/admin/v1/instances").json()["instances"]
                        if each["purpose"] == "benchmark" and each["in_flight"]], 60, "a round")
    assert corral.post(BENCH, SMALL).status_code == 409
    running = engines(corral)
    assert running
    cancelled = corral.post(f"/admin/v1/operations/{operation}/cancel")
    assert cancelled.json()["state"] == "cancelled", cancelled.text
    assert corral.get("/admin/v1/instances").json()["instances"] == []
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in running), 10, "its engine's end")


def test_a_search_keeps_or_declines_in_time(corral):
    done = finish(corral, {"tune": True, "budget": "8s", "prompts": [64], "tokens": 8,
                           "concurrency": [2], "repeats": 1})
    found = past(corral)
    if done["state"] == "failed":  # a machine too slow for a single trial
        assert "time" in done["error"]
        assert found["tuned"] is None
        return
    search = found["benchmarks"][0]["result"]["search"]
    assert search["trials"][0]["what"] == "the default" and search["why"]
    assert search["kept"] == (found["tuned"] is not None)
    plan = corral.cli("show", MODEL, "--plan").stdout
    assert ("tuned on 20" in plan) == search["kept"]
    if search["kept"]:
        assert search["gain"] > 0.03
        assert corral.cli("bench", MODEL, "--forget").returncode == 0
        assert "tuned on" not in corral.cli("show", MODEL, "--plan").stdout
    assert corral.cli("bench", MODEL, "--forget").returncode == 4
