"""Stands in for the places that models come from: Hugging Face's hub, the Ollama registry, and a folder
with an index. Written from their published APIs; every fault that a test wants is a field of `Faults`.

    with Hub() as hub:
        hub.repository("acme/tiny-GGUF", {"tiny-Q4_K_M.gguf": data}, license="mit")
        hub.library("tiny", "1b", {"model": data, "license": b"MIT"})
        hub.folder("lab", [{"name": "tiny", "files": [...]}], {"tiny.gguf": data})
        config = hub.config()
"""

import hashlib
import json
import re
import socket
import socketserver
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

LAYER = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PIECE = 64 * 1024


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@dataclass
class Faults:
    """What the bytes of files suffer from. Small documents are always served well."""

    ranges: bool = True  # False: every answer is the whole file
    rate: int = 0  # bytes a second of each connection; 0: as fast as it goes
    cut_after: int = 0  # bytes of each answer, then the connection is closed
    cuts: int = 0  # only so many answers are cut; 0: all
    status: int = 0  # instead of a file
    failures: int = 0  # so many answers are `status`, the rest are good
    wrong_bytes: bool = False  # the content is another than was promised, of the same length
    extra_bytes: int = 0  # more than the file has, and said so
    lie_length: int = 0  # added to the Content-Length alone
    lie_range: bool = False  # Content-Range names other bytes than asked for
    redirect: str = ""  # to this address instead of a file
    relative_redirects: int = 0  # to itself, so many times
    stall_after: int = 0  # bytes, then silence
    chunked: bool = False  # no length is said
    no_tag: bool = False  # without an ETag
    change_after: int = 0  # answers, then the file is another one (and its ETag)


@dataclass
class Seen:
    """One request for the bytes of a file."""

    path: str
    range: str
    if_range: str
    authorization: str
    host: str


@dataclass
class State:
    repositories: dict = field(default_factory=dict)
    blobs: dict = field(default_factory=dict)
    manifests: dict = field(default_factory=dict)
    folders: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)  # of folders, by path


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that leave are the point of many tests


class Hub:
    def __init__(self, host="127.0.0.1", token=""):
        self.state = State()
        self.faults = Faults()
        self.token = token  # that gated repositories want
        self.seen = []
        self.pages = []
        self.answers = 0
        self.cut = 0
        self.failed = 0
        self.lock = threading.Lock()
        self.server = Server((host, 0), Handler)
        self.server.hub = self
        self.port = self.server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # --- what there is

    def repository(self, name, files, *, license="apache-2.0", gated=False, revision="main", likes=3):
        commit = sha256(json.dumps([name, revision, sorted(files)]).encode())[:40]
        self.state.repositories[name] = {
            "files": files,
            "license": license,
            "gated": gated,
            "commit": commit,
            "revisions": {revision, "main", commit},
            "likes": likes,
        }
        return commit

    def library(self, name, tag, layers, owner="library"):
        """`layers`: kind ("model", "template", ...) -> bytes."""
        described = []
        for kind, data in layers.items():
            digest = "sha256:" + sha256(data)
            self.state.blobs[digest] = data
            described.append({"mediaType": LAYER + kind, "digest": digest, "size": len(data)})
        config = json.dumps(
            {"model_format": "gguf", "model_family": "llama", "model_type": "1.2B", "file_type": "Q4_K_M"}
        ).encode()
        self.state.blobs["sha256:" + sha256(config)] = config
        self.state.manifests[f"{owner}/{name}:{tag}"] = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "digest": "sha256:" + sha256(config),
                    "size": len(config),
                },
                "layers": described,
            }
        ).encode()

    def folder(self, label, models, files):
        self.state.folders[label] = {"corral_index": 1, "models": models}
        for path, data in files.items():
            self.state.files[f"/folder/{label}/{path}"] = data

    def one(self, label, name, data, **more):
        """A folder with one model of one file."""
        entry = {"path": f"{name}.gguf", "size": len(data), "sha256": sha256(data)} | more
        self.folder(label, [{"name": name, "license": "mit", "files": [entry]}], {f"{name}.gguf": data})

    def config(self, **downloads):
        """As corral.yaml; all three sources lead here."""
        settings = {"keep_free": "1MiB", "silence": "2s", "tries": 4} | downloads
        lines = ["sources:", f"  hugging_face: {self.url}", f"  ollama: {self.url}"]
        if self.token:
            lines.append(f"  hugging_face_token: {self.token}")
        if self.state.folders:
            lines.append("  folders:")
            lines += [f"    - {label}={self.url}/folder/{label}" for label in self.state.folders]
        lines.append("downloads:")
        lines += [f"  {key}: {value}" for key, value in settings.items()]
        return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    @property
    def hub(self):
        return self.server.hub

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = urllib.parse.parse_qs(url.query)
        for pattern, method in ROUTES:
            match = pattern.fullmatch(path)
            if match:
                return method(self, query, *match.groups())
        data = self.hub.state.files.get(path)
        if data is None:
            return self.page({"error": "not found"}, 404)
        return self.file(data)

    # --- documents

    def page(self, value, status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.hub.pages.append((self.path, status))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # Hugging Face: GET /api/models/{repo}[/revision/{rev}] (huggingface.co/docs/hub/api)

    def repo_or_404(self, name, revision):
        repo = self.hub.state.repositories.get(name)
        if repo is None:
            self.page({"error": "Repository not found"}, 404, [("X-Error-Code", "RepoNotFound")])
            return None
        if revision and revision not in repo["revisions"]:
            self.page({"error": f"Invalid rev id: {revision}"}, 404, [("X-Error-Code", "RevisionNotFound")])
            return None
        return repo

    def describe(self, name, repo, blobs):
        siblings = []
        for path, data in repo["files"].items():
            sibling = {"rfilename": path}
            if blobs:
                sibling |= {"size": len(data), "blobId": sha256(data)[:40]}
                if path.endswith(".gguf"):
                    sibling["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        return {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": repo["commit"],
            "private": False,
            "gated": repo["gated"],
            "downloads": 1234,
            "likes": repo["likes"],
            "tags": ["gguf", f"license:{repo['license']}"],
            "cardData": {"license": repo["license"]},
            "lastModified": "2026-11-01T00:00:00.000Z",
            "gguf": {"total": 1_235_814_432, "architecture": "llama", "context_length": 131072},
            "siblings": siblings,
        }

    def model_info(self, query, name, _, revision):
        repo = self.repo_or_404(name, revision)
        if repo:
            blobs = query.get("blobs", ["false"])[0].lower() in ("true", "1")
            self.page(self.describe(name, repo, blobs))

    def model_search(self, query):
        words = query.get("search", [""])[0].lower()
        found = [
            self.describe(name, repo, False)
            for name, repo in self.hub.state.repositories.items()
            if words in name.lower()
        ]
        self.page(found[: int(query.get("limit", ["10"])[0])])

    def tree(self, query, name, revision):
        repo = self.repo_or_404(name, revision)
        if repo:
            self.page(
                [
                    {
                        "type": "file",
                        "path": path,
                        "size": len(data),
                        "oid": sha256(data)[:40],
                        "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134},
                    }
                    for path, data in repo["files"].items()
                ]
            )

    def resolve(self, query, name, revision, path):
        repo = self.repo_or_404(name, revision)
        if repo is None:
            return
        given = self.headers.get("Authorization", "")
        if repo["gated"] and given != f"Bearer {self.hub.token}":
            code = 401 if not given else 403
            self.page({"error": "Access to this repository is restricted"}, code, [("X-Error-Code", "GatedRepo")])
            return
        data = repo["files"].get(path)
        if data is None:
            self.page({"error": "Entry not found"}, 404, [("X-Error-Code", "EntryNotFound")])
            return
        extra = [
            ("X-Repo-Commit", repo["commit"]),
            ("X-Linked-Size", str(len(data))),
            ("X-Linked-Etag", f'"{sha256(data)}"'),
        ]
        self.file(data, extra)

    # Ollama: registry API v2 (distribution.github.io/distribution/spec/api)

    def manifest(self, query, owner, name, tag):
        found = self.hub.state.manifests.get(f"{owner}/{name}:{tag}")
        if found is None:
            self.page({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, 404)
            return
        self.page(found)

    def blob(self, query, owner, name, digest):
        data = self.hub.state.blobs.get(digest)
        if data is None:
            self.page({"errors": [{"code": "BLOB_UNKNOWN"}]}, 404)
        else:
            self.file(data)

    def index(self, query, label):
        found = self.hub.state.folders.get(label)
        self.page(found if found is not None else {"error": "not found"}, 200 if found is not None else 404)

    # --- bytes of files, with faults

    def file(self, data, extra=()):
        hub, faults = self.hub, self.hub.faults
        with hub.lock:
            hub.seen.append(
                Seen(
                    self.path,
                    self.headers.get("Range", ""),
                    self.headers.get("If-Range", ""),
                    self.headers.get("Authorization", ""),
                    self.headers.get("Host", ""),
                )
            )
            hub.answers += 1
            number = hub.answers
            failing = faults.status and (not faults.failures or hub.failed < faults.failures)
            hub.failed += bool(failing)
            cutting = faults.cut_after and (not faults.cuts or hub.cut < faults.cuts)
            hub.cut += bool(cutting)
        if failing:
            return self.page({"error": "fault"}, faults.status, [("Retry-After", "0")])
        if faults.redirect or number <= faults.relative_redirects:
            self.send_response(302)
            self.send_header("Location", faults.redirect or self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if faults.wrong_bytes:
            data = data[:4] + bytes(byte ^ 1 for byte in data[4:5]) + data[5:]
        if faults.change_after and number > faults.change_after:
            data = data[:-1] + bytes([data[-1] ^ 1])
        data = data + b"x" * faults.extra_bytes
        return self.send_file(data, faults, cutting, extra)

    def send_file(self, data, faults, cutting, extra):
        tag = f'"{sha256(data)[:32]}"'
        first, last, status = 0, len(data) - 1, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if_range = self.headers.get("If-Range")
        if wanted and faults.ranges and (if_range is None or if_range == tag):
            first = int(wanted.group(1))
            last = min(int(wanted.group(2) or last), last)
            if first > last:
                return self.page({}, 416, [("Content-Range", f"bytes */{len(data)}")])
            status = 206
        body = memoryview(data)[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        if faults.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if not faults.no_tag:
            self.send_header("ETag", tag)
        for name, text in extra:
            self.send_header(name, text)
        if status == 206:
            off = 1 if faults.lie_range else 0
            self.send_header("Content-Range", f"bytes {first + off}-{last + off}/{len(data) + off}")
        if faults.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) + faults.lie_length))
        self.end_headers()
        if self.command != "HEAD":
            self.send_body(body, faults, cutting)
        return None

    def send_body(self, body, faults, cutting):
        sent = 0
        if not faults.rate and not cutting and not faults.stall_after and not faults.chunked and not faults.lie_length:
            self.connection.sendall(body)
            return
        limit = min(len(body), faults.cut_after) if cutting else len(body)
        began = time.monotonic()
        while sent < limit:
            if faults.stall_after and sent >= faults.stall_after:
                time.sleep(30)
                break
            part = body[sent : min(sent + PIECE, limit)]
            if faults.chunked:
                self.connection.sendall(f"{len(part):x}\r\n".encode() + bytes(part) + b"\r\n")
            else:
                self.connection.sendall(part)
            sent += len(part)
            if faults.rate:
                time.sleep(max(0.0, sent / faults.rate - (time.monotonic() - began)))
        if faults.chunked and not cutting:
            self.connection.sendall(b"0\r\n\r\n")
        if cutting or faults.lie_length:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


ROUTES = [
    (re.compile(r"/api/models"), Handler.model_search),
    (re.compile(r"/api/models/([^/]+/[^/]+)(/revision/(.+))?"), Handler.model_info),
    (re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)"), Handler.tree),
    (re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)"), Handler.resolve),
    (re.compile(r"/v2/([^/]+)/([^/]+)/manifests/([^/]+)"), Handler.manifest),
    (re.compile(r"/v2/([^/]+)/([^/]+)/blobs/(sha256:[0-9a-f]{64})"), Handler.blob),
    (re.compile(r"/folder/([^/]+)/index\.json"), Handler.index),
]
