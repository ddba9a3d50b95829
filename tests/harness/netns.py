"""A second host on this machine: a network namespace at the other end of a virtual cable, and what can
go wrong with cables. Needs root and Linux, and the packages iproute2 and iptables.

    with Host() as host:
        host.start([...], ready=...)      # a program over there, at host.address
        host.cut()                        # the cable is out: nothing arrives, nobody is told
        host.mend()

Nothing outside the namespace and its cable is touched, and all of it goes with the block. What a killed
run left behind is removed by `sweep`, which every session calls first.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time

PREFIX = "corral-t-"
NUMBERS = itertools.count(1)
# 198.18.0.0/15 is set aside for tests between networks (RFC 2544): no real host has such an address.
SUBNETS = "198.18"


def tool(*words, check=True):
    """ip or iptables, also where /usr/sbin is not on PATH."""
    name = shutil.which(words[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert name, f"{words[0]} is missing: apt-get install iproute2 iptables"
    done = subprocess.run([name, *map(str, words[1:])], capture_output=True, text=True, timeout=20)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def namespaces():
    return [line.split()[0] for line in tool("ip", "netns", "list").splitlines() if line.startswith(PREFIX)]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def remove(name):
    """Ends what runs in the namespace and takes it away; the cable goes with it."""
    for pid in tool("ip", "netns", "pids", name, check=False).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    tool("ip", "netns", "del", name, check=False)
    # A namespace lives on while a dying process is in it; the near end of the cable need not wait.
    tool("ip", "link", "del", cable(name), check=False)


def sweep():
    """Removes the namespaces of sessions that are no more."""
    for name in namespaces():
        owner = name.removeprefix(PREFIX).split("-")[0]
        if not owner.isdigit() or not alive(int(owner)):
            remove(name)


def cable(name):
    """The near end's interface name: at most 15 letters."""
    pid, number = name.removeprefix(PREFIX).split("-")
    return f"ct{int(pid) % 10_000_000}x{int(number) % 1000}"


def free_subnet():
    """A third part of an address that no interface here uses yet."""
    taken = tool("ip", "-4", "-o", "addr", "show")
    for one in itertools.chain(range(os.getpid() % 250, 250), range(250)):
        if f" {SUBNETS}.{one}." not in taken:
            return one
    raise RuntimeError("no free test network is left")


class Host:
    """Another host at `address`, seen from here over a cable whose near end is `near_address`."""

    def __init__(self):
        self.name = f"{PREFIX}{os.getpid()}-{next(NUMBERS)}"
        self.near = cable(self.name)
        self.programs = []

    def __enter__(self):
        assert os.geteuid() == 0, "network namespaces need root"
        try:
            self.make()
        except BaseException:
            remove(self.name)
            raise
        return self

    def make(self):
        tool("ip", "netns", "add", self.name)
        tool("ip", "link", "add", self.near, "type", "veth", "peer", "name", "far", "netns", self.name)
        subnet = free_subnet()
        self.near_address, self.address = f"{SUBNETS}.{subnet}.1", f"{SUBNETS}.{subnet}.2"
        tool("ip", "addr", "add", f"{self.near_address}/30", "dev", self.near)
        tool("ip", "link", "set", self.near, "up")
        self.inside("ip", "addr", "add", f"{self.address}/30", "dev", "far")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("ip", "link", "set", "far", "up")

    def __exit__(self, *_):
        for program in self.programs:
            if program.poll() is None:
                program.kill()
            program.wait()
            if program.stdout:
                program.stdout.close()
        remove(self.name)

    # --- programs over there

    def inside(self, *words, check=True):
        return tool("ip", "netns", "exec", self.name, *words, check=check)

    def start(self, argv, *, port=None, patience=20, **options):
        """A program over there; with `port`, returns once that answers connections."""
        ip = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        program = subprocess.Popen([ip, "netns", "exec", self.name, *map(str, argv)],
                                   stdin=subprocess.DEVNULL, **options)
        self.programs.append(program)
        deadline = time.monotonic() + patience
        while port and not self.reachable(port):
            assert program.poll() is None, f"{argv[0]} ended with {program.returncode}"
            assert time.monotonic() < deadline, f"{argv[0]} does not listen on {port}"
            time.sleep(0.02)
        return program

    def reachable(self, port, timeout=0.5):
        try:
            socket.create_connection((self.address, port), timeout=timeout).close()
        except OSError:
            return False
        return True

    # --- what goes wrong

    def cut(self):
        """The cable is pulled at the far end: this side only sees that nothing comes any more."""
        self.inside("ip", "link", "set", "far", "down")

    def mend(self):
        self.inside("ip", "link", "set", "far", "up")

    def black_hole(self):
        """Every packet vanishes on the way, both ways, without an answer."""
        self.inside("iptables", "-w", "-I", "INPUT", "-i", "far", "-j", "DROP")
        self.inside("iptables", "-w", "-I", "OUTPUT", "-o", "far", "-j", "DROP")

    def lose(self, share):
        """Each packet that goes there is lost with this probability."""
        self.inside("iptables", "-w", "-I", "INPUT", "-i", "far", "-m", "statistic", "--mode", "random",
                    "--probability", f"{share:.4f}", "-j", "DROP")

    def clear(self):
        """No packet is dropped any more."""
        self.inside("iptables", "-w", "-F")
