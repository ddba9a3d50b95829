"""What a model takes is known before it is started: the plan's estimate against the real engine, on
generated models of several architectures, quantizations, contexts and cache types."""

import dataclasses
import json

import psutil
import pytest

from harness.corral import Corral
from harness.shaped_gguf import Shape, write

TOLERANCE = 0.10
PROMPT = "x" * 90  # a token each: more than one step of 64
GROUPED = {"heads": 16, "kv_heads": 4, "forward": 2816}


@dataclasses.dataclass(frozen=True)
class Case:
    shape: Shape
    context: int
    slots: int = 1
    cache: str = "f16"

    def settings(self):
        return {"context": self.context, "slots": self.slots, "cache_type": self.cache}


CASES = {
    "dense-f16": Case(Shape(blocks=6, heads=16, kv_heads=16), 4096),
    "dense-q8-cache": Case(Shape(blocks=6, heads=16, kv_heads=16), 8192, slots=2, cache="q8_0"),
    "grouped-q8": Case(Shape(blocks=10, quantization="Q8_0", **GROUPED), 16384),
    "grouped-q4-repacked": Case(Shape(blocks=10, quantization="Q4_0", **GROUPED), 2048, slots=4),
    "tied-q4": Case(Shape(blocks=4, quantization="Q4_0", vocabulary=32768, tied=True, **GROUPED), 4096, cache="q4_0"),
    "experts-f16": Case(Shape(blocks=6, width=512, heads=8, kv_heads=2, forward=512, experts=16, experts_used=2), 8192),
    "sliding-f16": Case(
        Shape("gemma3", blocks=12, width=768, heads=4, kv_heads=1, head_size=256, forward=2048, window=256, tied=True),
        8192,
    ),
    "qwen3-q4k": Case(
        Shape("qwen3", blocks=8, heads=16, kv_heads=8, head_size=128, forward=3072, quantization="Q4_K"), 4096
    ),
    "qwen2-q8": Case(
        Shape("qwen2", blocks=8, heads=16, kv_heads=2, forward=2816, quantization="Q8_0"), 8192, cache="q8_0"
    ),
}
# About 70 billion parameters of 16 bits: a hole of 140 GB.
HUGE = Shape(blocks=80, width=8192, heads=64, kv_heads=8, forward=28672, vocabulary=128256)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shaped")
    models = folder / "models"
    models.mkdir()
    for name, case in CASES.items():
        write(models / f"{name}.gguf", dataclasses.replace(case.shape, name=name))
    write(models / "huge.gguf", HUGE)
    config = {
        "engines": {"llama_server": {"batch": 64}},
        "models": {"settings": {name: case.settings() for name, case in CASES.items()}},
        "scheduler": {"memory": "4GiB"},
    }
    with Corral(folder / "server", config=json.dumps(config), models=models) as server:
        yield server


def plan_of(server, model):
    shown = server.cli("show", model, "--plan", "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def resident(server, model):
    engines = [one for one in server.engines() if model in one.cmdline()]
    assert len(engines) == 1, [one.cmdline() for one in server.engines()]
    return psutil.Process(engines[0].pid).memory_info().rss


@pytest.mark.parametrize("model", CASES)
def test_the_estimate_is_what_the_engine_takes(server, model):
    case = CASES[model]
    plan = plan_of(server, model)
    assert plan["device"] == "cpu"
    assert (plan["context"], plan["slots"], plan["cache_type"]) == (case.context, case.slots, case.cache)
    answer = server.chat(PROMPT, model=model, max_tokens=2)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["prompt_tokens"] > 64
    took = resident(server, model)
    estimate = plan["host_bytes"]
    error = (estimate - took) / took
    print(f"{model}: estimated {estimate / 2**20:.1f} MiB, took {took / 2**20:.1f} MiB ({error:+.1%})")
    assert server.cli("stop", model).returncode == 0
    assert abs(error) <= TOLERANCE, f"estimated {estimate}, took {took} ({error:+.1%}): {plan['host']}"


def test_the_plan_is_readable(server):
    shown = server.cli("show", "sliding-f16", "--plan")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["WHAT", "CHOSEN", "WHY"]
    for what in ("device", "context", "slots", "cache", "threads", "batch", "memory of the host"):
        assert any(line.startswith(what) for line in lines), f"{what}: {shown.stdout}"
    assert any(line.startswith("cache of keys and values") for line in lines), shown.stdout
    assert any(line.startswith("together") for line in lines), shown.stdout


def test_a_model_larger_than_the_machine_says_what_would_fit(server):
    shown = server.cli("show", "huge", "--plan")
    assert shown.returncode == 1
    assert "does not fit this machine" in shown.stderr
    assert "of 4.0 GiB that engines may use" in shown.stderr
    assert "billion parameters at Q4_K_M" in shown.stderr
    answer = server.chat(model="huge")
    assert answer.status_code == 503, answer.text
    assert "does not fit this machine" in answer.json()["error"]["message"]
    assert not any("huge" in one.cmdline() for one in server.engines())


def test_less_memory_gives_less_context_and_says_why(fresh, server):
    config = {
        "models": {"settings": {"grouped-q8": {"context": 32768, "slots": 4}}},
        "scheduler": {"memory": "450MiB"},
    }
    small = fresh(config=json.dumps(config), models=server.models).start()
    plan = plan_of(small, "grouped-q8")
    assert plan["host_bytes"] <= 450 * 2**20
    assert plan["slots"] == 1 and plan["context"] < 32768
    why = {choice["what"]: choice["why"] for choice in plan["choices"]}
    assert "asked 32768 a slot would need" in why["context"]
    assert "of 450.0 MiB" in why["context"]
    answer = small.chat(PROMPT, model="grouped-q8", max_tokens=1)
    assert answer.status_code == 200, answer.text
    assert resident(small, "grouped-q8") <= 1.1 * 450 * 2**20


def test_settings_decide_over_the_plan(fresh, server):
    config = {"models": {"settings": {"dense-f16": {"device": "CUDA9"}, "qwen2-q8": {"memory": "123MiB"}}}}
    odd = fresh(config=json.dumps(config), models=server.models).start()
    shown = odd.cli("show", "dense-f16", "--plan")
    assert shown.returncode == 1
    assert "there is no device 'CUDA9' here" in shown.stderr
    assert "there is: cpu" in shown.stderr
    assert plan_of(odd, "qwen2-q8")["host_bytes"] == 123 * 2**20
