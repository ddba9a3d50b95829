"""The fake Docker Engine of the unit tests answers as Docker does: shown with Docker's own client."""

import pathlib
import shutil
import subprocess
import tempfile
import threading

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound

from harness.corral import wait_until
from harness.faulty import bench_program

IMAGE = "ollama/ollama:latest"


class Engine:
    """The program, and a client of it as `client`."""

    def __enter__(self):
        # A short path: the name of a unix socket has at most 107 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="corral-docker-", dir="/tmp"))
        path = self.folder / "docker.sock"
        self.process = subprocess.Popen(
            [bench_program("fake_docker"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"
        self.client = docker.DockerClient(base_url=f"unix://{path}", version="auto", timeout=20)
        return self

    def __exit__(self, *_):
        self.client.close()
        self.process.stdin.close()
        ended = self.process.wait(20)
        self.process.stdout.close()
        shutil.rmtree(self.folder)
        assert ended == 0

    def die(self, name, code):
        self.process.stdin.write(f"die {name} {code}\n")
        self.process.stdin.flush()

    def make(self, name, **more):
        return self.client.containers.create(IMAGE, ["serve"], name=name, **more)


@pytest.fixture
def engine():
    with Engine() as made:
        made.client.images.pull("ollama/ollama", tag="latest")
        yield made


def test_version_and_ping(engine):
    assert engine.client.ping()
    assert engine.client.version()["ApiVersion"] == engine.client.api.api_version == "1.43"


def test_a_pull_with_progress(engine):
    lines = list(engine.client.api.pull("library/other", tag="2", stream=True, decode=True))
    assert lines[0]["status"] == "Pulling from ollama/ollama"
    assert [each["progressDetail"] for each in lines if each["status"] == "Downloading"] == [
        {"current": 30, "total": 100}, {"current": 5, "total": 50}]
    assert engine.client.images.get("library/other:2").tags == ["library/other:2"]
    with pytest.raises(ImageNotFound):
        engine.client.images.get("library/other:3")
    failed = list(engine.client.api.pull("nosuch/image", tag="1", stream=True, decode=True))
    assert failed[-1]["errorDetail"]["message"] == "manifest unknown"


def test_the_life_of_a_container(engine):
    made = engine.make("one", labels={"corral.container": "one"})
    assert (made.name, made.status, made.labels) == ("one", "created", {"corral.container": "one"})
    made.start()
    made.start()  # no harm, as Docker says
    made.reload()
    assert made.status == "running" and made.ports["8080/tcp"][0]["HostIp"] == "127.0.0.1"
    with pytest.raises(APIError) as refused:
        made.remove()
    assert refused.value.status_code == 409
    made.stop(timeout=1)
    made.stop(timeout=1)
    made.reload()
    assert made.status == "exited" and made.attrs["State"]["ExitCode"] == 0
    made.start()
    made.kill()
    made.reload()
    assert made.status == "exited" and made.attrs["State"]["ExitCode"] == 137
    made.remove()
    with pytest.raises(NotFound):
        engine.client.containers.get("one")


def test_names_and_images_must_fit(engine):
    engine.make("one")
    with pytest.raises(APIError) as taken:
        engine.make("one")
    assert taken.value.status_code == 409 and "in use" in taken.value.explanation
    with pytest.raises(ImageNotFound):
        engine.client.containers.create("nobody/nothing:1", name="two")


def test_lists_are_by_state_and_label(engine):
    engine.make("a", labels={"corral.container": "a"}).start()
    engine.make("b", labels={"corral.container": "b", "corral.spec": "x"})
    engine.make("c").start()

    def names(**options):
        return sorted(each.name for each in engine.client.containers.list(**options))

    assert names() == ["a", "c"]
    assert names(all=True) == ["a", "b", "c"]
    assert names(all=True, filters={"label": "corral.container"}) == ["a", "b"]
    assert names(all=True, filters={"label": ["corral.container", "corral.spec=x"]}) == ["b"]
    assert names(filters={"label": "corral.container=b"}) == []


def test_logs_by_stream_and_followed(engine):
    made = engine.make("one")
    made.start()
    assert made.logs() == b"first words\nsecond a complaint\nhalf\n"
    said = []
    reader = threading.Thread(target=lambda: said.extend(made.logs(stream=True, follow=True)), daemon=True)
    reader.start()
    wait_until(lambda: b"".join(said).endswith(b"half\n"), 10, "the log")
    assert reader.is_alive()
    made.stop(timeout=1)
    reader.join(10)
    assert not reader.is_alive()


def test_statistics_once_and_again_and_again(engine):
    made = engine.make("one")
    made.start()
    once = made.stats(stream=False)
    assert once["memory_stats"]["usage"] == 3000
    again = made.stats(stream=True, decode=True)
    assert [next(again)["cpu_stats"] for _ in range(3)] == [once["cpu_stats"]] * 3
    made.stop(timeout=1)
    assert len(list(again)) < 10, "the end of the container is the end of its statistics"


def test_events_as_they_happen(engine):
    seen = []
    events = engine.client.events(decode=True, filters={"type": "container"})

    def listen():
        for event in events:
            seen.append((event["Action"], event["Actor"]["Attributes"]["name"], event["Actor"]["ID"]))

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    made = engine.make("one")

    def begun():
        # Events from before the listening began are not told.
        made.start()
        made.stop(timeout=1)
        return len(seen) >= 2

    wait_until(begun, 10, "the first events")
    wait_until(lambda: seen[-1][0] == "die", 10, "the last of them")
    made.start()
    engine.die("one", 3)
    wait_until(lambda: len(seen) >= 4 and seen[-1][0] == "die", 10, "its own end")
    made.reload()
    assert made.attrs["State"]["ExitCode"] == 3
    made.remove()
    wait_until(lambda: seen[-1][0] == "destroy", 10, "its removal")
    assert {(name, identifier) for _, name, identifier in seen} == {("one", made.id)}
    events.close()
