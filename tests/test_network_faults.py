"""The faults of harness/netns.py do what they say: shown with curl and sockets over a real cable."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from harness import faults, netns
from harness.corral import engine, wait_until
from harness.raw import Raw, request

PORT, CONTROL = 8080, 8081
TESTS = pathlib.Path(__file__).resolve().parent
MODEL = TESTS.parent / "models" / "corral-tiny.gguf"


@pytest.fixture(scope="module", autouse=True)
def swept():
    netns.sweep()
    yield
    left = [name for name in netns.namespaces() if name.startswith(f"{netns.PREFIX}{os.getpid()}-")]
    assert left == []


@pytest.fixture
def host():
    with netns.Host() as one:
        one.start([sys.executable, "-B", "-m", "harness.fake_upstream", "--host", one.address, "--port", PORT,
                   "--control-port", CONTROL, "--tokens", 100, "--gap", 0.02], cwd=TESTS, port=PORT,
                  stdout=subprocess.DEVNULL)
        yield one


def curl(host, seconds=2):
    """(curl's exit code, status). 7: refused or unreachable, 28: out of time."""
    done = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "-m", str(seconds), "-o", "/dev/null", "-w", "%{http_code}",
         f"http://{host.address}:{PORT}/health"], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def stream(host):
    """A connection with a stream under way."""
    one = Raw((host.address, PORT), timeout=1)
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'
    one.send(request("POST", "/v1/chat/completions", body=body))
    one.read_until(b'"content": "one')
    return one


def falls_silent(one):
    """Nothing more comes, and the connection stands."""
    with pytest.raises(TimeoutError):
        while one.socket.recv(65536):
            pass
        pytest.fail("the connection was closed")


def test_a_whole_cable(host):
    assert curl(host) == (0, "200")
    control = faults.Control(CONTROL, host.address)
    control.set(status=500)
    assert curl(host) == (0, "500")
    assert control.stats()["requests"] == 2


def test_cut(host):
    with stream(host) as one:
        host.cut()
        falls_silent(one)
        code, _ = curl(host)
        assert code in (7, 28)  # after a second or so the kernel knows that nobody answers there
        with pytest.raises(OSError) as raised:
            socket.create_connection((host.address, PORT), timeout=5)
        assert not isinstance(raised.value, ConnectionRefusedError)
        host.mend()
        wait_until(lambda: curl(host) == (0, "200"), 10, "the cable to carry again")
        one.socket.settimeout(10)
        one.read_until(b"data: [DONE]")  # what was sent meanwhile was kept, and comes now


def test_black_hole(host):
    with stream(host) as one:
        host.black_hole()
        falls_silent(one)
        begun = time.monotonic()
        assert curl(host, seconds=1.5)[0] == 28
        assert time.monotonic() - begun >= 1.4  # no reset came, and no word of the kernel
        host.clear()
        wait_until(lambda: curl(host) == (0, "200"), 10, "packets to arrive again")
        one.socket.settimeout(20)
        one.read_until(b"data: [DONE]")


def test_a_refused_port_is_something_else(host):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host.address, 9), timeout=2)


COUNTER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5005)); s.settimeout(1.5); count = 0
print("ready", flush=True)
try:
    while True: s.recv(100); count += 1
except TimeoutError: print(count, flush=True)
"""


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_random_loss(host, share):
    host.lose(share)
    counter = host.start([sys.executable, "-c", COUNTER, host.address], stdout=subprocess.PIPE, text=True)
    assert counter.stdout.readline() == "ready\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for number in range(1000):
            one.sendto(b"x", (host.address, 5005))
            if number % 50 == 0:
                time.sleep(0.005)
    arrived = int(counter.stdout.readline())
    assert abs((1000 - arrived) / 1000 - share) < 0.08  # five standard deviations at 0.5
    host.clear()
    assert curl(host) == (0, "200")


def test_requests_survive_some_loss(host):
    host.lose(0.1)
    assert [curl(host, seconds=20) for _ in range(10)] == [(0, "200")] * 10


def test_two_hosts_fail_apart(host):
    with netns.Host() as other:
        other.start([sys.executable, "-B", "-m", "harness.fake_upstream", "--host", other.address, "--port", PORT],
                    cwd=TESTS, port=PORT, stdout=subprocess.DEVNULL)
        assert other.address != host.address
        other.black_hole()
        assert curl(other, seconds=1)[0] == 28
        assert curl(host) == (0, "200")


def test_all_is_gone_after_a_failure():
    name = None
    with pytest.raises(ZeroDivisionError), netns.Host() as one:
        name, near = one.name, one.near
        program = one.start([sys.executable, "-c", "import time; time.sleep(600)"])
        one.black_hole()
        _ = 1 / 0
    assert name not in netns.namespaces()
    assert near not in netns.tool("ip", "-o", "link", "show")
    assert program.poll() is not None


def test_what_a_dead_session_left_is_swept():
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    name = f"{netns.PREFIX}{dead.pid}-1"
    netns.tool("ip", "netns", "add", name)
    netns.tool("ip", "link", "add", netns.cable(name), "type", "veth", "peer", "name", "far", "netns", name)
    with netns.Host() as mine:
        netns.sweep()
        assert name not in netns.namespaces() and mine.name in netns.namespaces()
        assert netns.cable(name) not in netns.tool("ip", "-o", "link", "show")


def test_a_real_engine_over_there():
    with netns.Host() as other:
        server = [engine(), "-m", MODEL, "--host", other.address, "--port", PORT, "-c", 512, "-np", 1, "-t", 1]
        other.start(server, port=PORT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: curl(other) == (0, "200"), 20, "the engine to be ready")
        other.cut()
        assert curl(other)[0] in (7, 28)
        other.mend()
        wait_until(lambda: curl(other) == (0, "200"), 10, "the engine to be reached again")
