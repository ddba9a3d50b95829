"""An engine that takes more than was counted for it is stopped by name, and nothing else is hurt."""

import os
import pathlib
import threading
import time

import psutil
import pytest

from harness import shaped_gguf, slow_model
from harness.corral import wait_until

pytestmark = pytest.mark.alone

# Its cache takes 256 MiB, which the engine touches when it starts.
GREEDY = shaped_gguf.Shape(blocks=8, width=1024, heads=8, kv_heads=8, vocabulary=1024, forward=1024)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shaped_gguf.write(folder / "greedy.gguf", GREEDY)
    (folder / "well.gguf").symlink_to(
        pathlib.Path(__file__).resolve().parents[1] / "models" / "corral-tiny.gguf"
    )
    return folder


CONFIG = """
engines:
  llama_server: {restart_backoff: 50ms, restart_backoff_max: 50ms%s}
models:
  settings:
    greedy: {context: 8192, slots: 1%s}
"""


def limits_of(server, model):
    (found,) = [each for each in server.get("/admin/v1/instances").json()["instances"]
                if each["model"] == model]
    return found["limits"]


def our_groups(pid):
    """Control groups that this Corral made and that are there still."""
    found = []
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(folder, name) for name in names if name.startswith(f"corral-{pid}-")]
    return [each for each in found if not each.endswith("-self")]


def test_an_engine_over_its_limit_is_stopped_by_name(fresh, models):
    server = fresh(models=models, config=CONFIG % ("", ", memory: 1MiB")).start()
    assert server.chat(model="well", max_tokens=4).status_code == 200
    (healthy,) = server.engines()
    refused = server.chat(model="greedy", max_tokens=4)
    assert refused.status_code == 503, refused.text
    said = refused.json()["error"]["message"]
    assert "needed more than" in said and "1.0 MiB were counted" in said
    assert "models.settings.greedy.memory" in refused.text
    assert server.log_text().count("needed more than") >= 3  # tried anew, and then given up
    # The others live on, what it took is free again.
    assert [each.pid for each in server.engines()] == [healthy.pid]
    assert server.chat(model="well", max_tokens=4).status_code == 200
    limits = limits_of(server, "well")
    assert limits["memory_bytes"] > 0
    assert limits["memory_by"] in ("cgroup v1", "cgroup v2", "watch")


def test_counted_as_it_is_the_same_engine_serves(fresh, models):
    server = fresh(models=models, config=CONFIG % ("", "")).start()
    assert server.chat(model="greedy", max_tokens=4).status_code == 200
    by = limits_of(server, "greedy")["memory_by"]
    if by.startswith("cgroup"):
        assert len(our_groups(server.process.pid)) == 1
    (engine,) = server.engines()
    # Short of memory, the system ends engines before Corral.
    adjusted = [int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text())
                for pid in (server.process.pid, engine.pid)]
    assert adjusted[0] < adjusted[1] <= 1000
    server.stop()
    wait_until(lambda: not our_groups(server.process.pid), 10, "the groups to be removed")


def test_without_limits_it_may_take_what_it_wants(fresh, models):
    config = CONFIG % (", limits: false", ", memory: 1MiB")
    server = fresh(models=models, config=config).start()
    assert server.chat(model="greedy", max_tokens=4).status_code == 200
    assert limits_of(server, "greedy") == {
        "memory_bytes": None, "memory_by": None, "processors_by": None, "io_by": None}


def test_groups_of_a_killed_corral_go_with_the_next_start(fresh, models):
    server = fresh(models=models).start()
    assert server.chat(model="well", max_tokens=4).status_code == 200
    pid = server.process.pid
    grouped = limits_of(server, "well")["memory_by"].startswith("cgroup")
    server.remember_children()
    server.process.kill()
    server.process.wait()
    psutil.wait_procs(list(server.children_seen.values()), 10)
    assert bool(our_groups(pid)) == grouped
    fresh(models=models).start()
    assert our_groups(pid) == []


def test_processors_are_limited(fresh):
    config = """
engines: {llama_server: {cpu_limit: 0.4, io_weight: 50}}
models: {settings: {slow: {context: 4096, slots: 1}}}
"""
    server = fresh(models=slow_model.folder(), config=config).start()
    assert server.chat(model="slow", max_tokens=1).status_code == 200
    limits = limits_of(server, "slow")
    (engine,) = server.engines()
    assert "-t 1 " in " ".join(engine.cmdline())
    assert limits["processors_by"] in ("cgroup v1", "cgroup v2", "threads")
    assert limits["io_by"] in ("cgroup v1", "cgroup v2", "priority")
    writing = threading.Thread(
        target=lambda: server.chat(model="slow", max_tokens=60, ignore_eos=True), daemon=True)
    writing.start()
    began, used = time.monotonic(), sum(engine.cpu_times()[:2])
    writing.join(3)
    share = (sum(engine.cpu_times()[:2]) - used) / (time.monotonic() - began)
    # Of a whole one with a thread alone; with a group, what was asked for and what a period adds.
    assert share < (0.7 if limits["processors_by"] != "threads" else 1.2)
    writing.join(120)


def test_the_plan_says_which_limits_hold(fresh, models):
    server = fresh(models=models, config=CONFIG % (", cpu_limit: 1.5, io_weight: 20", "")).start()
    plan = server.get("/admin/v1/models/greedy").json()["plan"]
    choices = {each["what"]: each for each in plan["choices"]}
    assert "kept by" in choices["limit of memory"]["why"]
    assert choices["limit of processors"]["value"] == "1.5"
    assert choices["weight with the disk"]["value"] == "20"
