"""Starts the real program and stops it again, with everything it said kept for the report."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import httpx
import openai
import psutil

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
MODEL = "corral-tiny"
START_SECONDS = 30
LISTENING = re.compile(r"listening on (https?://\S+)")


def binary():
    path = pathlib.Path(os.environ.get("CORRAL_BIN") or ROOT / "build" / "release" / "bin" / "corral")
    assert path.is_file(), f"{path} is missing: ninja -C build/release corral, or set CORRAL_BIN"
    return path


def engine():
    """The llama-server to use; scripts/build-engine knows which."""
    named = os.environ.get("CORRAL_TEST_ENGINE")
    if not named:
        script = ROOT / "scripts" / "build-engine"
        named = subprocess.run([script], capture_output=True, text=True, check=True).stdout.strip()
    return named


def clean_environment(extra=None):
    """This process's environment without what would configure Corral or its engine."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("CORRAL_", "LLAMA_", "XDG_"))
    }
    if "LLVM_PROFILE_FILE" in os.environ:
        kept["LLVM_PROFILE_FILE"] = os.environ["LLVM_PROFILE_FILE"]
    return kept | {"NO_PROXY": "*", "no_proxy": "*"} | (extra or {})


class Corral:
    """One run of `corral serve`. Used as `with Corral(tmp_path) as corral:`, or by the fixtures.

    `config` is the text of corral.yaml; `args` are further arguments; `stop` checks that it ended
    with code 0 and left no process behind.
    """

    def __init__(self, folder, *, config="", args=(), env=None, models=MODELS, listen=("127.0.0.1:0",)):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.config_file = self.folder / "corral.yaml"
        self.log_file = self.folder / "log.txt"
        self.config = config
        self.args = list(args)
        self.models = models
        self.listen = listen
        self.env = clean_environment(
            {"CORRAL_ENGINES_LLAMA_SERVER_PATH": engine(), "HOME": str(self.folder)} | (env or {})
        )
        self.process = None
        self.urls = []
        self.out = []
        self.children_seen = {}

    # --- life

    def command(self):
        words = [str(binary()), "serve", "--data-dir", str(self.data), *self.args]
        if self.models:
            words += ["--models", str(self.models)]
        for one in self.listen:
            words += ["--listen", one]
        if self.config:
            self.config_file.write_text(self.config)
            words += ["--config", str(self.config_file)]
        return words

    def launch(self):
        """Starts the program without waiting for it to be ready."""
        self.log = self.log_file.open("ab")
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=self.env,
            cwd=self.folder,
            text=True,
        )
        self.reader = threading.Thread(target=self.read_output, daemon=True)
        self.reader.start()
        return self

    def read_output(self):
        for line in self.process.stdout:
            self.out.append(line)
            found = LISTENING.search(line)
            if found:
                self.urls.append(found.group(1))

    def start(self):
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"corral ended with {self.process.returncode}:\n{self.report()}")
            if len(self.urls) >= max(1, len(self.listen)) and self.ready():
                return self
            time.sleep(0.02)
        raise AssertionError(f"corral was not ready in {START_SECONDS} s:\n{self.report()}")

    def ready(self):
        try:
            return self.get("/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def remember_children(self):
        if self.process and self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.children_seen[child.pid] = child
        return self.children_seen

    def engines(self):
        """The llama-server processes that run now."""
        self.remember_children()
        return [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if "llama-server" in child.name()
        ]

    def stop(self, code=0, timeout=40):
        """SIGTERM, and what a good end looks like."""
        self.remember_children()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        ended = self.wait(timeout)
        assert ended == code, f"exit code {ended}, wanted {code}:\n{self.report()}"
        self.assert_no_orphans()

    def wait(self, timeout):
        try:
            ended = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"corral did not end within {timeout} s:\n{self.report()}") from None
        self.reader.join(5)
        self.log.close()
        return ended

    def assert_no_orphans(self, within=3.0):
        _, alive = psutil.wait_procs(
            [child for child in self.children_seen.values() if child.is_running()], within
        )
        left = [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
        for child in left:
            child.kill()
        assert not left, f"processes were left behind: {left}"

    def kill(self):
        """For a test that failed: end everything without asking."""
        self.remember_children()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for child in self.children_seen.values():
            if child.is_running():
                child.kill()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *_):
        if kind:
            print(self.report())
            self.kill()
        elif self.process.poll() is None:
            self.stop()

    # --- what it said

    def log_text(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def report(self):
        return f"--- stdout\n{''.join(self.out)}\n--- log\n{self.log_text()[-8000:]}"

    def wait_for_log(self, pattern, timeout=10):
        return wait_until(lambda: re.search(pattern, self.log_text()), timeout, f"/{pattern}/ in the log")

    # --- talking to it

    @property
    def url(self):
        return self.urls[0]

    @property
    def address(self):
        host, port = self.url.split("://")[1].rsplit(":", 1)
        return host, int(port)

    def get(self, path, **options):
        return httpx.get(self.url + path, verify=False, **{"timeout": 30, **options})

    def post(self, path, body=None, **options):
        return httpx.post(self.url + path, json=body, verify=False, **{"timeout": 120, **options})

    def chat(self, text="Hello!", **options):
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0}
        return self.post("/v1/chat/completions", body | options)

    def client(self, **options):
        return openai.OpenAI(
            base_url=self.url + "/v1", **{"api_key": "none", "max_retries": 0, "timeout": 120, **options}
        )

    def metrics(self):
        """{series with its labels: value}"""
        values = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def metric(self, name, **labels):
        """The sum over the series of that name with these labels."""
        total = 0.0
        for series, value in self.metrics().items():
            if series.split("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                total += value
        return total

    def cli(self, *words, input=None, timeout=60, env=None):
        """Runs another corral command against this server."""
        return run_cli("--server", self.url, *words, input=input, timeout=timeout, env=env)


def run_cli(*words, input=None, timeout=60, env=None, cwd=None):
    return subprocess.run(
        [str(binary()), *map(str, words)],
        input=input if input is not None else "",
        capture_output=True,
        text=True,
        timeout=timeout,
        env=clean_environment(env),
        cwd=cwd,
    )


def wait_until(condition, timeout, what):
    """The condition's first true value; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)


def sse(lines):
    """The data of each event of a stream of lines, "[DONE]" as it is."""
    for line in lines:
        if line.startswith("data:"):
            data = line[5:].strip()
            yield data if data == "[DONE]" else json.loads(data)
