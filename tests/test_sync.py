"""Several Corrals: one gives its models out, another fetches them; what would suit a machine; and
what is loaded ahead of requests."""

import hashlib
import http.server
import json
import shutil
import signal
import threading
import time

import httpx
import pytest

from harness.corral import MODEL, MODELS, wait_until
from harness.pulling import MIB, blob_is_whole, blobs, ended
from harness.small_gguf import small_gguf

pytestmark = pytest.mark.long

KEY = "a-key-of-the-lab-server"


@pytest.fixture
def folder(tmp_path):
    """A models folder of its own, with two small models."""
    made = tmp_path / "models"
    made.mkdir()
    (made / "one.gguf").write_bytes(small_gguf(MIB, seed=1))
    (made / "two.gguf").write_bytes(small_gguf(2 * MIB, seed=2))
    return made


def sharing(fresh, models, **more):
    """A server that gives its models out, once it knows their checksums."""
    server = fresh(config="models:\n  share: true\n", models=models, **more).start()
    count = len(list(models.glob("*.gguf")))
    wait_until(lambda: len(index(server)["models"]) == count, 30, "checksums of the models folder")
    return server


def index(server, **options):
    return server.get("/share/v1/index.json", **options).json()


def fetching(fresh, lab, *, entry=None, config="", **more):
    entry = entry or f"lab={lab.url}"
    server = fresh(config=f"sources:\n  folders: ['{entry}']\n{config}", models=None, **more)
    return server.start()


def states(document):
    return {each["name"]: each["state"] for each in document["models"]}


def sync(server, **wish):
    answer = server.post("/admin/v1/sync", {"source": "lab"} | wish)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def synced(server, **wish):
    document = sync(server, **wish)
    for each in document["models"]:
        if each["operation"]:
            assert ended(server, each["operation"])["state"] == "succeeded"
    return document


# --- sharing and syncing


def test_one_shares_and_the_other_syncs(fresh, folder):
    lab = sharing(fresh, folder)
    office = fetching(fresh, lab)
    planned = office.cli("sync", "lab", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "lab/one" in planned.stdout and "new" in planned.stdout and "2 models to fetch" in planned.stdout
    assert blobs(office) == set()
    done = office.cli("sync", "lab")
    assert done.returncode == 0, done.stderr
    assert "2 models fetched" in done.stdout
    for file in folder.iterdir():
        assert blob_is_whole(office, file.read_bytes())
    again = office.cli("sync", "lab", "--json")
    assert states(json.loads(again.stdout)) == {"lab/one": "same", "lab/two": "same"}
    # Another model takes the name there, a third one comes, and one goes.
    (folder / "one.gguf").write_bytes(small_gguf(MIB, seed=3))
    (folder / "two.gguf").unlink()
    (folder / "three.gguf").write_bytes(small_gguf(MIB, seed=4))
    wait_until(lambda: {each["name"] for each in index(lab)["models"]} == {"one", "three"}, 30, "the new index")
    document = synced(office, patterns=["o*"])
    assert states(document) == {"lab/one": "newer"}
    assert blob_is_whole(office, (folder / "one.gguf").read_bytes())
    shown = office.get("/admin/v1/models/lab%2Fone/versions").json()
    assert [each["version"] for each in shown["versions"]] == [2, 1]
    assert states(sync(office, dry_run=True)) == {"lab/one": "same", "lab/three": "new", "lab/two": "gone"}
    removed = office.cli("sync", "lab", "--delete")
    assert removed.returncode == 0 and "removed" in removed.stdout, removed.stderr
    names = {each["name"] for each in office.get("/admin/v1/models").json()["models"]}
    assert names == {"lab/one", "lab/three"}


def test_with_an_api_key(fresh, folder, tmp_path):
    lab = fresh(config=f"models:\n  share: true\nserver:\n  api_key: {KEY}\n", models=folder)
    lab.ready = lambda: httpx.get(lab.url + "/health", timeout=2).status_code == 200
    lab.start()
    with_key = {"headers": {"Authorization": f"Bearer {KEY}"}}
    wait_until(lambda: len(index(lab, **with_key)["models"]) == 2, 30, "the index")
    without = fetching(fresh, lab)
    refused = without.cli("sync", "lab")
    assert refused.returncode == 1 and "token_file" in refused.stderr, refused.stderr
    word = tmp_path / "key"
    word.write_text("another-key\n")
    wrong = fetching(fresh, lab, entry=f"lab={lab.url} token_file={word}")
    assert "does not take the token" in wrong.cli("sync", "lab").stderr
    word.write_text(KEY + "\n")
    office = fetching(fresh, lab, entry=f"lab={lab.url} token_file={word}")
    done = office.cli("sync", "lab")
    assert done.returncode == 0, done.stderr
    assert KEY not in office.log_text() and KEY not in lab.log_text()
    assert KEY not in json.dumps(office.get("/admin/v1/sources").json())


def test_share_off_is_said(fresh, folder):
    lab = fresh(models=folder).start()
    answer = lab.get("/share/v1/index.json")
    assert answer.status_code == 404 and "models.share" in answer.json()["hint"]
    digest = hashlib.sha256((folder / "one.gguf").read_bytes()).hexdigest()
    assert lab.get(f"/share/v1/blobs/sha256-{digest}/one.gguf").status_code == 404
    office = fetching(fresh, lab)
    refused = office.cli("sync", "lab")
    assert refused.returncode != 0 and "models.share" in refused.stderr
    sources = {each["name"]: each for each in office.get("/admin/v1/sources").json()["sources"]}
    assert not sources["lab"]["reachable"] and "models.share" in sources["lab"]["hint"]


def test_files_come_by_range_with_their_digest_as_tag(fresh, folder):
    lab = sharing(fresh, folder)
    data = (folder / "two.gguf").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path = f"/share/v1/blobs/sha256-{digest}/two.gguf"
    whole = lab.get(path)
    assert whole.content == data and whole.headers["etag"] == f'"sha256:{digest}"'
    part = lab.get(path, headers={"Range": "bytes=1000-1999", "If-Range": whole.headers["etag"]})
    assert part.status_code == 206 and part.content == data[1000:2000]
    other = lab.get(path, headers={"Range": "bytes=1000-1999", "If-Range": '"another"'})
    assert other.status_code == 200 and other.content == data
    assert lab.get(path, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert lab.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = httpx.head(lab.url + path)
    assert head.status_code == 200 and not head.content
    first = lab.get("/share/v1/index.json")
    assert lab.get("/share/v1/index.json", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    for wrong in (
        f"sha256-{'0' * 64}/two.gguf",
        "sha256-../../../etc/passwd",
        "..%2f..%2fcorral.db",
        "two.gguf",
        f"sha256-{digest.upper()}/two.gguf",
        f"sha256:{digest}/two.gguf",
    ):
        assert lab.get("/share/v1/blobs/" + wrong).status_code == 404, wrong


def test_killed_midway_it_goes_on(fresh, folder):
    (folder / "large.gguf").write_bytes(data := small_gguf(8 * MIB, seed=5))
    lab = sharing(fresh, folder)
    office = fetching(fresh, lab, config="downloads:\n  bandwidth: 2MiB\n")
    sync(office, patterns=["large"])
    wait_until(
        lambda: any(each["bytes_done"] > MIB for each in office.get("/admin/v1/operations").json()["operations"]),
        60,
        "the first bytes",
    )
    office.process.send_signal(signal.SIGKILL)
    office.process.wait()
    assert not blob_is_whole(office, data)
    office.config = office.config.replace("2MiB", "0")
    office.urls.clear()
    office.start()
    wait_until(lambda: blob_is_whole(office, data), 60, "the rest")
    wait_until(
        lambda: "lab/large" in {each["name"] for each in office.get("/admin/v1/models").json()["models"]},
        30,
        "the model",
    )
    assert states(sync(office, patterns=["large"])) == {"lab/large": "same"}


# --- folders that lie


class Liar(http.server.BaseHTTPRequestHandler):
    index = {}
    files = {}

    def do_GET(self):
        data = json.dumps(self.index).encode() if self.path.endswith("/index.json") else self.files.get(self.path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()


def test_a_hostile_folder_harms_nothing(fresh, liar):
    data = small_gguf(MIB, seed=7)
    good = {"path": "good.gguf", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    wrong = {"path": "good.gguf", "size": len(data), "sha256": "0" * 64}
    Liar.files = {"/good.gguf": data}
    Liar.index = {
        "corral_index": 1,
        "models": [
            {"name": "good", "files": [good]},
            {"name": "liar", "files": [wrong]},
            {"name": "climber", "files": [{"path": "../../etc/passwd"}]},
            {"name": "hidden", "files": [{"path": ".ssh/key"}]},
            {"name": "empty", "files": []},
            {"name": "../../escape", "files": [good]},
        ],
    }
    office = fetching(fresh, liar)
    done = office.cli("sync", "lab")
    assert done.returncode == 1
    for name in ("climber", "hidden", "empty"):
        assert f"refused: {name}" in done.stdout, done.stdout
    assert "checksum" in done.stderr, done.stderr
    names = {each["name"] for each in office.get("/admin/v1/models").json()["models"]}
    assert names == {"lab/good"}
    assert blobs(office) == {f"sha256-{good['sha256']}"}


def test_wrong_wishes_are_refused(fresh):
    office = fresh(models=None).start()
    assert office.cli("sync", "nowhere").returncode == 4
    refused = office.cli("sync", "hf")
    assert refused.returncode == 1 and "sources.folders" in refused.stderr
    for body in ({}, {"source": 1}, {"source": "lab", "patterns": "x"}, {"source": "lab", "unknown": 1}, []):
        assert office.post("/admin/v1/sync", body).status_code == 400, body


# --- what is at the sources, and what would suit


def test_sources_info_and_recommendations(fresh, folder):
    lab = sharing(fresh, folder)
    office = fetching(fresh, lab, config="models:\n  directory: " + str(MODELS) + "\n")
    info = office.cli("info", "lab/two")
    assert info.returncode == 0, info.stderr
    assert "llama" in info.stdout and "Fits" in info.stdout and "yes" in info.stdout
    assert "did you mean" in office.cli("info", "lab/tw").stderr
    listed = office.cli("recommend", "--json")
    found = json.loads(listed.stdout)
    names = {each["name"]: each for each in found["models"]}
    assert names[MODEL]["here"] and not names["lab/one"]["here"], found
    assert all(each["why"] for each in found["models"])
    scores = [each["score"] for each in found["models"]]
    assert scores == sorted(scores, reverse=True)
    only = json.loads(office.cli("recommend", "--from", "here", "--json").stdout)
    assert {each["name"] for each in only["models"]} == {MODEL}
    assert office.cli("recommend", "--from", "nowhere").returncode == 4
    table = office.cli("recommend", "--from", "lab", "two").stdout
    assert "lab/two" in table and "lab/one" not in table


def test_when_nothing_fits_it_says_what_would(fresh, liar):
    Liar.index = {
        "corral_index": 1,
        "models": [
            {
                "name": "giant",
                "parameters": "405B",
                "quantization": "Q4_K_M",
                "files": [{"path": "giant.gguf", "size": 240 << 30}],
            }
        ],
    }
    office = fetching(fresh, liar, config="scheduler:\n  memory: 4GiB\n")
    found = office.cli("recommend")
    assert found.returncode == 0 and "None of them fits" in found.stdout, found.stdout
    assert "lab/giant" in found.stdout and "4.0 GiB" in found.stdout and "would fit" in found.stdout
    info = office.cli("info", "lab/giant")
    assert "Fits" in info.stdout and "no" in info.stdout


# --- loading ahead


def test_what_is_used_most_is_loaded_after_a_restart(fresh, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(MODELS / f"{MODEL}.gguf", models / "often.gguf")
    shutil.copy(MODELS / f"{MODEL}.gguf", models / "never.gguf")
    server = fresh(config="models:\n  preload_frequent: true\n  idle_timeout: 1s\n", models=models).start()
    assert server.engines() == []
    assert server.chat(model="often", max_tokens=2).status_code == 200
    wait_until(lambda: server.get("/admin/v1/models/often/usage").json()["recent"]["requests"] == 1, 20, "its use")
    server.stop()
    server.urls.clear()
    server.start()

    def loaded():
        instances = server.get("/admin/v1/instances").json()["instances"]
        return {each["model"] for each in instances if each["state"] == "ready"}

    wait_until(lambda: loaded() == {"often"}, 30, "the model used most")
    assert "ahead of requests" in server.log_text()
    # Others are unloaded when idle and this one stays; stopped by hand, it stays away until it is used.
    assert server.cli("stop", "often").returncode == 0
    until = time.monotonic() + 8
    while time.monotonic() < until:
        assert "often" not in loaded()
        time.sleep(0.2)
    assert server.chat(model="often", max_tokens=2).status_code == 200
    wait_until(lambda: loaded() == {"often"}, 10, "its return")
