"""What the fault suite stands on: upstreams that can be killed and told to misbehave, and what is put in
front of them, Corral and HAProxy, each with the checks, retries and timeouts that it has for this.

Both get the same times: a second between health checks, two seconds for an endpoint to begin its
answer, three tries.
"""

import http.client
import json
import os
import shutil
import signal
import time
from pathlib import Path

from . import processes, subjects

TOKENS, TOKEN_GAP_MS = 20, 10  # of a stream
CAPACITY = 64  # requests at once, an endpoint
CHAT = "/v1/chat/completions"


class Upstream:
    """One bench_upstream that answers a chat in `delay_ms` and a little; `kill` and `revive` keep its port."""

    def __init__(self, tools, cpus, folder, name, delay_ms, jitter_ms):
        self.tools, self.cpus, self.folder, self.name = tools, cpus, folder, name
        self.pace = {"delay_ms": delay_ms, "jitter_ms": jitter_ms, "path": CHAT}
        self.port, self.control = processes.free_port(), processes.free_port()
        self.lives = 0
        self.before = []  # the counts of earlier lives
        self.revive()

    def revive(self):
        self.lives += 1
        words = [Path(self.tools) / "bench_upstream", "--port", self.port, "--control-port", self.control,
                 "--tokens", TOKENS, "--rate", 1000 / TOKEN_GAP_MS]
        self.program = processes.Program(
            words, self.cpus, self.folder, f"{self.name}-{self.lives}", lambda: processes.answers(self.port))
        self.set()

    def kill(self):
        """SIGKILL. What it counted is read first."""
        self.before.append(self.stats())
        os.kill(self.program.pid, signal.SIGKILL)
        self.program.process.wait()

    def set(self, **faults):
        processes.post(self.control, "/__faults", self.pace | faults)

    def stats(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=10)
        try:
            connection.request("GET", "/__stats")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def all_stats(self):
        return [*self.before, self.stats()]

    def stop(self):
        self.program.stop()


class Upstreams:
    """Several, stopped together."""

    def __init__(self, tools, cpus, folder, delays_ms, jitter=0.5):
        self.all = []
        try:
            for number, delay in enumerate(delays_ms):
                self.all.append(Upstream(tools, cpus, folder, "abcdefgh"[number], delay, int(delay * jitter)))
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.all:
            one.stop()

    @property
    def ports(self):
        return [one.port for one in self.all]


class Corral:
    name = "corral"

    def __init__(self, binary):
        self.binary = binary

    def start(self, ports, folder, cpus, *, balance="peak_ewma", hedge=True, model="bench-model",
              capacity=CAPACITY, begin_within="2s"):
        self.port = processes.free_port()
        endpoints = "".join(
            f"  - {{name: e{i}, binding: openai, url: \"http://127.0.0.1:{port}\", capacity: {capacity}, "
            f"models: [\"bench-e{i}={model}\"]}}\n" for i, port in enumerate(ports))
        targets = ", ".join(f"{{endpoint: e{i}, model: {model}}}" for i in range(len(ports)))
        return subjects.serve_corral(self.binary, self.port, folder, cpus, f"""\
gateway:
  breaker: {{recovery_remote: 3s}}
  health: {{probe_interval: 1s, probe_timeout: 1s, slow_start: 2s}}
endpoints:
{endpoints}routes:
  - name: {model}
    targets: [{targets}]
    balance: {balance}
    tries: 3
    hedge: {str(hedge).lower()}
    resume: true
    connect_timeout: 500ms
    first_token_timeout: {begin_within}
    queue_limit: 5000
    queue_timeout: 30s
""")


class HAProxy:
    name = "haproxy"

    def start(self, ports, folder, cpus, *, balance="leastconn", **_):
        """With all that it has against bad servers: checks, retries of whole requests, passive marking."""
        self.port = processes.free_port()
        config = Path(folder) / "haproxy.cfg"
        servers = "".join(
            f"  server e{i} 127.0.0.1:{port} check inter 1s fall 3 rise 2 maxconn {CAPACITY} "
            f"observe layer7 error-limit 5 on-error mark-down\n" for i, port in enumerate(ports))
        config.write_text(f"""\
global
  nbthread {len(cpus)}
  maxconn 8192
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-no-delay
  http-reuse safe
  timeout connect 500ms
  timeout client 60s
  timeout server 2s
  timeout queue 30s
  timeout check 1s
  retries 3
  option redispatch 1
  retry-on all-retryable-errors
frontend front
  bind 127.0.0.1:{self.port} backlog 4096
  monitor-uri /haproxy-alive
  default_backend back
backend back
  balance {balance}
  option httpchk GET /health
  http-check expect status 200
{servers}""")
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        running = processes.Program([program, "-f", config], cpus, folder, "haproxy",
                                    lambda: processes.answers(self.port, "/haproxy-alive"))
        time.sleep(1)  # its first checks
        return running
