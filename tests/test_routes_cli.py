"""`corral endpoints`, `corral routes` and what the shells complete, against a real server with two fake
upstreams."""

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest
from harness.corral import binary, clean_environment
from harness.route_bed import ROUTE, beds

WILD = {"name": "openai/*", "targets": [{"endpoint": "a", "model": "*"}]}
BREAKER = {"breaker": {"failures": 5, "recovery_remote": "60s"}}


@pytest.fixture
def bed(tmp_path):
    """Endpoints a and b in one route, of which b is for when a fails."""
    with beds(tmp_path) as make:
        yield make(groups=[0, 1], route={"aliases": ["gpt-4o"]}, routes=[WILD], gateway=BREAKER)


def told(bed, *words, code=0, input=None):
    """What the command prints: standard output, or standard error when it is to fail."""
    done = bed.server.cli(*words, input=input)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def row(text, name):
    return next(line for line in text.splitlines() if line.split()[:1] == [name])


def break_first(bed):
    bed.fakes[0].set(status=500)
    for _ in range(6):
        assert bed.ask().status_code == 200
    assert bed.breakers("a") == {"open", "closed"} or bed.breakers("a") == {"open"}


def test_tables(bed):
    assert bed.ask().status_code == 200
    endpoints = told(bed, "endpoints")
    assert row(endpoints, "a").split()[:4] == ["a", "healthy", "closed", "0/64"]
    assert "config" in row(endpoints, "b")
    routes = told(bed, "routes")
    assert row(routes, ROUTE).split()[:4] == [ROUTE, "round_robin", "2/2", "0"]
    assert "implicit" in row(routes, "corral-tiny")
    assert {each["name"] for each in json.loads(told(bed, "endpoints", "--json"))["endpoints"]} == {"a", "b"}
    assert ROUTE in {each["name"] for each in json.loads(told(bed, "routes", "--json"))["routes"]}
    assert "\x1b" not in endpoints + routes


def test_explain_says_who_answers_and_why(bed):
    calm = told(bed, "routes", "explain", "gpt-4o")
    assert "gpt-4o is an alias of the route chat" in calm
    assert "now: a (backend-m)" in calm
    break_first(bed)
    broken = told(bed, "routes", "explain", "gpt-4o")
    assert "✗ circuit breaker open" in broken
    assert "now: b (backend-m)" in broken
    assert [line.strip("│ ")[:4] for line in broken.splitlines() if "←" in line] == ["└─ b"]
    assert bed.ask().headers["x-corral-endpoint"] == "b"
    answer = json.loads(told(bed, "routes", "explain", "gpt-4o", "--json"))
    assert answer["would_choose"]["endpoint"] == "b"
    shown = told(bed, "endpoints", "show", "a")
    assert "of the last" in shown and "trials in" in shown and " ago: " in shown


def test_names_with_slashes_and_stars(bed):
    wild = told(bed, "routes", "explain", "openai/gpt-9")
    assert "openai/gpt-9 is met by the route openai/*" in wild
    assert "gpt-9  ✓ usable" in wild
    assert told(bed, "routes", "show", "openai/*").startswith("Name        openai/*\n")
    assert json.loads(told(bed, "routes", "show", "openai/*", "--json"))["name"] == "openai/*"


def test_breakers_by_hand(bed):
    assert told(bed, "endpoints", "open", "a", "--model", "backend-m") == "a backend-m: the breaker is open\n"
    assert "open (by hand)" in row(told(bed, "endpoints"), "a")
    assert bed.ask().headers["x-corral-endpoint"] == "b"
    assert "backend-m: the breaker is closed" in told(bed, "endpoints", "close", "a")
    assert bed.ask().headers["x-corral-endpoint"] == "a"


def test_a_route_is_added_used_replaced_and_removed(bed, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text('# two words\nname: "mine/*"\ntargets:\n  - {endpoint: b, model: "*"}\n')
    assert told(bed, "routes", "add", file) == "route mine/* is in place, version 1\n"
    assert bed.ask(model="mine/x").headers["x-corral-endpoint"] == "b"
    assert "--replace" in told(bed, "routes", "add", file, code=1)
    file.write_text('{\n\t"name": "mine/*", "targets": [{"endpoint": "a", "model": "*"}]}')
    assert told(bed, "routes", "add", file, "--replace") == "route mine/* is in place, version 2\n"
    assert bed.ask(model="mine/x").headers["x-corral-endpoint"] == "a"
    assert told(bed, "routes", "remove", "mine/*") == "route mine/* is removed\n"
    assert bed.ask(model="mine/x").status_code == 404


def test_an_endpoint_is_added_used_and_removed(bed):
    text = json.dumps(
        {"name": "c", "binding": "openai", "url": bed.fakes[1].url, "models": ["big"], "api_key": "sk-very-secret"}
    )
    assert told(bed, "endpoints", "add", "-", input=text) == "endpoint c is in place, version 1\n"
    assert bed.ask(model="big").headers["x-corral-endpoint"] == "c"
    for words in (["endpoints"], ["endpoints", "show", "c"], ["endpoints", "show", "c", "--json"]):
        shown = told(bed, *words)
        assert "big" in shown and "sk-very-secret" not in shown
    assert json.loads(told(bed, "endpoints", "remove", "c", "--json")) == {"name": "c", "removed": True}
    assert bed.ask(model="big").status_code == 404


@pytest.mark.parametrize(
    "words, text, code, wanted",
    [
        (["endpoints", "show", "nobody"], None, 4, "nobody"),
        (["routes", "remove", "nobody"], None, 4, "nobody"),
        (["routes", "explain", "chatt"], None, 4, "did you mean chat?"),
        (["endpoints", "remove", "a"], None, 1, "configuration file"),
        (["endpoints", "close", "a", "--model", "nope"], None, 4, "nope"),
        (["routes", "add", "/no/such.yaml"], None, 1, "/no/such.yaml"),
        (["routes", "add", "-"], "targets: []", 1, 'gives no "name"'),
        (["routes", "add", "-"], "name: x\ntargets: [{endpoint: zz}]", 1, "no endpoint 'zz'"),
        (["routes", "add", "-"], "name: x\n\ntargts: 1", 1, "standard input:3: unknown key 'targts'"),
        (["routes", "add", "-"], "name: x\ntargets: [{endpoint: a, weight: 0}]", 1, "weight"),
        (["routes", "add", "-"], "name: x\nfallbacks: [x]\ntargets: [{endpoint: a}]", 1, "fallback"),
        (["endpoints", "frob"], None, 2, "no command"),
    ],
)
def test_what_is_wrong_is_said(bed, words, text, code, wanted):
    error = told(bed, *words, input=text, code=code)
    assert error.startswith("error: ") and wanted in error, error


# --- completion, in the shells themselves

LINES = [
    ("corral endp", {"endpoints"}),
    ("corral endpoints sh", {"show"}),
    ("corral endpoints show ", {"a", "b"}),
    ("corral endpoints close ", {"a", "b"}),
    ("corral routes explain gp", {"gpt-4o"}),
    ("corral routes show cor", {"corral-tiny"}),
    ("corral config che", {"check"}),
    ("corral show corral-t", {"corral-tiny"}),
    ("corral run c", {"chat", "corral-tiny"}),
    ("corral run gp", {"gpt-4o"}),
    ("corral run open", set()),  # nobody asks for a wildcard
]

TYPED = [
    ("corral endp", "endpoints "),
    ("corral endpoints sh", "show "),
    ("corral routes explain gp", "gpt-4o "),
    ("corral routes show cor", "corral-tiny "),
    ("corral routes show open", "openai/\\* "),
    ("corral config che", "check "),
    ("corral show corral-t", "corral-tiny "),
    ("corral run gp", "gpt-4o "),
]


def need(shell):
    found = shutil.which(shell)
    assert found, f"{shell} is not installed: scripts/install-deps does that"
    return found


@pytest.fixture
def shell_environment(bed, tmp_path):
    path = f"{binary().parent}:{os.environ['PATH']}"
    return clean_environment({"PATH": path, "CORRAL_SERVER": bed.server.url, "HOME": str(tmp_path), "TERM": "dumb"})


@pytest.fixture
def script(bed, tmp_path):
    def write(shell, name="corral-completion"):
        file = tmp_path / name
        file.write_text(told(bed, "completion", shell))
        return file

    return write


def offered(found):
    """Without the options, which every command has."""
    return {word for word in found if word and not word.startswith("-")}


def test_bash_completes(script, shell_environment):
    file = script("bash")
    for line, wanted in LINES:
        words = line.split(" ")
        code = (
            f"source {file}; COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); "
            f"COMP_CWORD={len(words) - 1}; _corral; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(
            [need("bash"), "--norc", "-c", code], env=shell_environment, capture_output=True, text=True, timeout=60
        )
        assert offered(done.stdout.splitlines()) == wanted, (line, done.stdout, done.stderr)
        assert not done.stderr, done.stderr


def test_fish_completes(script, shell_environment):
    file = script("fish")
    for line, wanted in LINES:
        done = subprocess.run(
            [need("fish"), "--no-config", "-c", f"source {file}; complete -C '{line}'"],
            env=shell_environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert offered(one.split("\t")[0] for one in done.stdout.splitlines()) == wanted, (line, done)


def test_bash_quotes_a_star(script, shell_environment):
    file = script("bash")
    with Terminal([need("bash"), "--norc", "-i"], shell_environment) as terminal:
        terminal.type(f"source {file}; echo re''ady\n")
        terminal.wait_for("ready")
        terminal.type("corral routes show open\t")
        terminal.wait_for("corral routes show openai/\\* ")


def test_zsh_completes(script, shell_environment, tmp_path):
    """zsh completes only while a person edits a line, so one is typed on a terminal."""
    script("zsh", name="_corral")
    setup = (
        f"PS1='> '; fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_list_beep no_nomatch\n"
    )
    with Terminal([need("zsh"), "-f", "-i"], shell_environment) as terminal:
        terminal.type(setup + "echo re''ady\n")
        terminal.wait_for("ready")
        for line, wanted in TYPED:
            terminal.type(f"{line}\t")
            terminal.wait_for(f"{line.rsplit(' ', 1)[0]} {wanted}")
            terminal.type("\x15")  # Ctrl-U takes the line away


class Terminal:
    """A program on a terminal of its own, 200 columns wide."""

    def __init__(self, words, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(words[0], words, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, text):
        self.seen = ""
        os.write(self.fd, text.encode())

    def wait_for(self, text, seconds=30):
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
