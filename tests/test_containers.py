"""Engines in containers, over Podman's service for Docker clients: made, watched, restarted, taken
over, made anew, stopped, removed."""

import json
import os
import signal
import subprocess
import time

import pytest
from harness.corral import MODELS, Corral, binary, engine
from harness.podman import Podman

pytestmark = pytest.mark.long

IMAGE = "localhost/corral-engine:1"
# Inside the container, where nobody else is.
COMMAND = ["--host", "0.0.0.0", "--port", "8080", "--model", "/models/corral-tiny.gguf"]  # noqa: S104
COMMAND += ["--no-warmup", "--ctx-size", "512", "--parallel", "1", "--threads", "2", "--no-webui"]


@pytest.fixture(scope="module")
def podman():
    with Podman() as service:
        service.image(IMAGE, engine(), entrypoint=["/bin/llama-server"])
        yield service


def container(**changed):
    return {
        "name": "boxed",
        "image": IMAGE,
        "command": COMMAND,
        "mounts": [f"{MODELS}:/models:ro"],
        "port": 8080,
        "binding": "llamacpp",
        "path": "",
        "models": ["boxed-model=corral-tiny"],
        "memory": "1GiB",
        "cpus": 2,
        "stop_timeout": "3s",
    } | changed


def config(podman, *containers, **more):
    # YAML is a superset of JSON.
    docker = {"socket": str(podman.socket), "containers": list(containers)}
    return json.dumps({"log": {"access": False}, "docker": docker} | more)


def shown(server, name="boxed"):
    document = server.get("/admin/v1/containers").json()
    found = [each for each in document["containers"] if each["name"] == name]
    return found[0] if found else None


def wait_until(server, condition, name="boxed", seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = shown(server, name)
        if seen is not None and condition(seen):
            return seen
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s, last seen: {seen}\n{server.log_text()[-3000:]}")


def ready(seen):
    return seen["state"] == "ready"


def chat(server):
    with server.client() as client:
        answer = client.chat.completions.create(
            model="boxed-model", messages=[{"role": "user", "content": "hello"}], max_tokens=8
        )
    return answer.choices[0].message.content


def cli(server, *words, code=0):
    done = subprocess.run(
        [binary(), "--server", server.urls[0], *words], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_container_serves_is_started_again_and_is_taken_over(podman, tmp_path):
    with Corral(tmp_path / "one", config=config(podman, container())) as server:
        first = wait_until(server, ready)
        assert chat(server)
        assert first["docker_state"] == "running"
        assert first["url"].startswith("http://127.0.0.1:")
        assert not first["adopted"]
        details = json.loads(podman.call("inspect", "boxed"))[0]
        assert details["Id"] == first["id"]
        assert details["HostConfig"]["Memory"] == 1 << 30
        bound = details["HostConfig"]["PortBindings"]["8080/tcp"]
        assert [each["HostIp"] for each in bound] == ["127.0.0.1"]
        endpoint = server.get("/admin/v1/endpoints/boxed").json()
        assert endpoint["source"] == "config" and endpoint["held"] is None
        lines = server.get("/admin/v1/containers/boxed/logs?tail=500").json()["lines"]
        assert any("llama" in line["text"] or "model" in line["text"] for line in lines)
        measured = wait_until(server, lambda seen: seen["usage"] is not None)
        assert measured["usage"]["memory_bytes"] > 1 << 20
        assert 'corral_container_up{container="boxed"} 1' in server.get("/metrics").text

        # It ends by itself: it is started again.
        podman.call("kill", "--signal=KILL", "boxed")
        again = wait_until(server, lambda seen: ready(seen) and seen["restarts"] == 1)
        assert again["id"] == first["id"]
        assert "signal 9" in server.log_text()
        assert chat(server)

    # It goes on without Corral, and the next one takes it over as it runs.
    assert podman.call("inspect", "--format={{.State.Running}}", "boxed") == "true"
    with Corral(tmp_path / "two", config=config(podman, container())) as server:
        adopted = wait_until(server, ready)
        assert adopted["adopted"] and adopted["id"] == first["id"]
        assert chat(server)
        cli(server, "containers", "rm", "boxed")


def test_a_changed_one_is_made_anew_and_all_can_be_done_by_hand(podman, tmp_path):
    with Corral(tmp_path / "server", config=config(podman, container())) as server:
        first = wait_until(server, ready)
        # A change of what clients see leaves it alone; one of its own settings makes it anew.
        server.config_file.write_text(
            config(podman, container(models=["boxed-model=corral-tiny", "other=corral-tiny"]))
        )
        server.process.send_signal(signal.SIGHUP)
        wait_until(server, lambda seen: ready(seen) and "other" in server.get("/v1/models").text)
        assert shown(server)["id"] == first["id"]
        server.config_file.write_text(config(podman, container(memory="768MiB")))
        server.process.send_signal(signal.SIGHUP)
        fresh = wait_until(server, lambda seen: ready(seen) and seen["id"] != first["id"])
        assert not fresh["adopted"]
        assert chat(server)

        # By hand.
        assert "boxed is stopped" in cli(server, "containers", "stop", "boxed")
        assert podman.call("inspect", "--format={{.State.Running}}", "boxed") == "false"
        assert "boxed is ready" in cli(server, "containers", "start", "boxed")
        assert "boxed is ready" in cli(server, "containers", "restart", "boxed")
        table = cli(server, "containers")
        assert "boxed" in table and "ready" in table
        assert cli(server, "containers", "logs", "boxed", "--tail", "3").strip()
        assert "boxed is removed" in cli(server, "containers", "rm", "boxed")
        assert podman.call("ps", "--all", "--quiet") == ""
        assert "boxed is ready" in cli(server, "containers", "start", "boxed")

        # No longer configured: it goes, and its endpoint with it.
        server.config_file.write_text(config(podman))
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while podman.call("ps", "--all", "--quiet"):
            assert time.monotonic() < deadline, "the container stays"
            time.sleep(0.1)
        assert server.get("/admin/v1/endpoints/boxed").status_code == 404


def test_what_cannot_work_says_why_and_harms_nothing(podman, tmp_path):
    podman.call("create", "--name=foreign", IMAGE)
    containers = [
        container(name="missing", image="127.0.0.1:1/nobody/has-it:1", models=["missing-model"]),
        container(name="no-pull", image="localhost/nobody/has-it:1", pull=False, models=[]),
        container(name="foreign", models=[]),
        container(name="broken", command=["--no-such-option"], models=[], remove=True),
    ]
    quick = {"gateway": {"queue_timeout": "1s"}}
    with Corral(tmp_path / "server", config=config(podman, *containers, **quick)) as server:
        missing = wait_until(server, lambda seen: seen["error"], "missing")
        assert "the image cannot be pulled" in missing["error"]
        refused = server.chat(model="missing-model")
        assert refused.status_code == 503, refused.text
        assert "the container missing: " in refused.text
        no_pull = wait_until(server, lambda seen: seen["state"] == "failed", "no-pull")
        assert "pull is off" in no_pull["error"]
        foreign = wait_until(server, lambda seen: seen["state"] == "failed", "foreign")
        assert "did not make" in foreign["error"]
        assert "not made by Corral" in cli(server, "containers", "rm", "foreign", code=1)
        assert podman.call("inspect", "--format={{.Name}}", "foreign") == "foreign"
        broken = wait_until(server, lambda seen: seen["state"] == "failed", "broken")
        assert "ended by itself" in broken["error"]
        assert "cannot be pulled" in cli(server, "containers", "pull", "no-pull", code=1)
        assert "did you mean broken" in cli(server, "containers", "stop", "brocken", code=4)
    # `remove: true`: with Corral's end.
    assert podman.call("ps", "--all", "--format={{.Names}}") == "foreign"
    podman.call("rm", "foreign")


def test_without_docker_corral_serves_on_and_says_what_to_do(podman, tmp_path):
    podman.stop()
    try:
        with Corral(tmp_path / "server", config=config(podman, container())) as server:
            seen = wait_until(server, lambda seen: seen["error"])
            assert "there is no such socket" in seen["error"]
            assert "is Docker running?" in seen["error"]
            assert server.get("/v1/models").status_code == 200
            podman.start()
            wait_until(server, ready)
            cli(server, "containers", "rm", "boxed")
    finally:
        if podman.process is None:
            podman.start()


def test_wrong_settings_are_named_with_their_place(tmp_path):
    file = tmp_path / "corral.yaml"
    file.write_text(
        "docker:\n"
        "  containers:\n"
        "    - name: a1\n"
        "      image: some/image:1\n"
        "      port: 8080\n"
        "      mounts: [models]\n"
        "      gpus: many\n"
        "    - name: A1\n"
        "      image: 'with space'\n"
        "      port: 8080\n"
    )
    done = subprocess.run(
        [binary(), "config", "check", "--config", file],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for part in ("corral.yaml:6", "corral.yaml:7", "corral.yaml:8", "corral.yaml:9", "SOURCE:TARGET"):
        assert part in said, said
