"""The file that lets a model see: found, counted, given to the engine, and a wrong one named."""

import pathlib

import pytest

from harness import shaped_gguf
from harness.corral import MODELS

RESTART = "engines: {llama_server: {restart_backoff: 50ms, restart_backoff_max: 50ms}}\n"


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "tiny.gguf").symlink_to(MODELS / "corral-tiny.gguf")
    return folder


def projector(path):
    """A whole GGUF file, of another kind than a projector: no real one is here."""
    shaped_gguf.write(path, shaped_gguf.Shape(blocks=1, width=64, heads=1, kv_heads=1, forward=64,
                                              vocabulary=512))


def plan_of(server):
    return server.get("/admin/v1/models/tiny").json()["plan"]


def test_one_beside_the_model_is_counted_and_passed_on(fresh, models):
    projector(models / "mmproj-tiny.gguf")
    server = fresh(models=models, config=RESTART).start()
    assert [each["id"] for each in server.get("/v1/models").json()["data"]] == ["tiny"]
    plan = plan_of(server)
    assert plan["projector"].endswith("mmproj-tiny.gguf")
    assert server.get("/v1/models/tiny").json()["capabilities"] == ["chat", "vision"]
    assert server.get("/admin/v1/models").json()["models"][0]["capabilities"] == ["chat", "vision"]
    assert "chat, vision" in server.cli("list").stdout and "chat, vision" in server.cli("show", "tiny").stdout
    assert plan["host"]["projector_bytes"] > (models / "mmproj-tiny.gguf").stat().st_size
    assert {"what": "projector", "value": "mmproj-tiny.gguf"}.items() <= next(
        each for each in plan["choices"] if each["what"] == "projector").items()
    refused = server.chat(model="tiny", max_tokens=2)
    assert refused.status_code == 503
    assert "could not load the projector" in refused.text
    assert server.engines() == []


def test_one_that_the_settings_name(fresh, models):
    (models / "eyes").mkdir()
    projector(models / "eyes" / "mmproj-others.gguf")
    config = RESTART + "models: {settings: {tiny: {projector: eyes/mmproj-others.gguf}}}\n"
    server = fresh(models=models, config=config).start()
    assert plan_of(server)["projector"].endswith("eyes/mmproj-others.gguf")
    assert server.get("/admin/v1/models/tiny").json()["capabilities"] == ["chat", "vision"]
    assert "could not load the projector" in server.chat(model="tiny").text


@pytest.mark.parametrize("named, said", [
    ("none.gguf", "is not there"),
    ("../model.gguf", "must lie below the models folder"),
    ("/etc/passwd", "must lie below the models folder"),
])
def test_one_that_cannot_be(fresh, models, named, said):
    config = f"models: {{settings: {{tiny: {{projector: {named}}}}}}}\n"
    server = fresh(models=models, config=config).start()
    assert said in plan_of(server)["error"]
    assert server.chat(model="tiny").status_code == 503


def test_without_one_nothing_is_said(fresh, models):
    server = fresh(models=pathlib.Path(models)).start()
    assert plan_of(server)["projector"] is None
    assert server.get("/v1/models/tiny").json()["capabilities"] == ["chat"]
    assert server.chat(model="tiny", max_tokens=2).status_code == 200
