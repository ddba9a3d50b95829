"""Starts the engine on a model file and asks it questions over HTTP."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CACHE = Path.home() / ".cache" / "corral" / "engine"
START_SECONDS = 60


def find_server(given: str | None) -> str:
    """The engine's path: as given, on the PATH, or in Corral's cache."""
    cached = sorted(CACHE.glob("*/bin/llama-server"))
    found = given or shutil.which("llama-server") or (str(cached[-1]) if cached else None)
    if not found:
        raise SystemExit("llama-server was not found; give its path with --llama-server")
    return found


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Engine:
    """One running engine; use it in a `with` block."""

    def __init__(self, model: Path, server: str | None = None, context: int = 2048,
                 slots: int = 1) -> None:
        # One thread: two would only wait for each other over so few weights.
        self.port = free_port()
        self.command = [find_server(server), "-m", str(model), "--alias", "corral-tiny",
                        "--host", "127.0.0.1", "--port", str(self.port),
                        "-c", str(context * slots), "-np", str(slots), "-t", "1",
                        "--cache-ram", "0", "--no-ui"]
        self.log = tempfile.TemporaryFile()
        self.process: subprocess.Popen[bytes] | None = None
        self.local = threading.local()

    def connection(self) -> http.client.HTTPConnection:
        """The connection of this thread."""
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection: http.client.HTTPConnection = self.local.connection
        return connection

    def __enter__(self) -> Engine:
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.request("GET", "/health")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.1)
        text = self.output()
        self.stop()
        raise SystemExit(f"the engine did not start:\n{text}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the engine and waits for it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=20)
        self.log.close()

    def output(self) -> str:
        """The last lines that the engine printed."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-3000:]

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; the status and the decoded answer."""
        data = None if body is None else json.dumps(body)
        connection = self.connection()
        try:
            connection.request(method, path, data, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise OSError(str(error)) from error
        return reply.status, json.loads(text) if text else None

    def chat(self, messages: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
        """The first choice of a chat completion at temperature 0."""
        body = {"model": "corral-tiny", "messages": messages, "temperature": 0,
                "max_tokens": 300, **extra}
        status, reply = self.request("POST", "/v1/chat/completions", body)
        if status != 200:
            raise RuntimeError(f"status {status}: {reply}")
        return dict(reply["choices"][0])

    def ask(self, question: str) -> str:
        """The answer to one question, without a history."""
        message = self.chat([{"role": "user", "content": question}])["message"]
        return str(message["content"] or "").strip()
