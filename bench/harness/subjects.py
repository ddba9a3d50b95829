"""What is compared: the upstream asked directly, Corral, nginx and HAProxy in front of it."""

import shutil
from pathlib import Path

from . import processes

STREAMS_AT_ONCE = 8192


class Subject:
    """One way to the upstream. `start` gives a running program (or none), and sets `port`."""

    name = ""
    port = 0

    def start(self, upstream, folder, cpus):
        raise NotImplementedError


class NoProgram:
    pid = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Direct(Subject):
    name = "direct"

    def start(self, upstream, folder, cpus):
        self.port = upstream
        return NoProgram()


def serve_corral(binary, port, folder, cpus, rest):
    """Corral with a configuration of `rest` behind where it listens and logs to."""
    folder = Path(folder)
    config = folder / "corral.yaml"
    config.write_text(f"""\
server:
  listen: ["127.0.0.1:{port}"]
  threads: {len(cpus)}
log:
  file: {folder}/corral.log
  level: info
{rest}""")
    (folder / "data").mkdir(exist_ok=True)
    return processes.Program([binary, "serve", "--config", config, "--data-dir", folder / "data"],
                             cpus, folder, "corral", lambda: processes.answers(port))


class Corral(Subject):
    name = "corral"

    def __init__(self, binary, extra_endpoints=""):
        self.binary, self.extra = binary, extra_endpoints

    def start(self, upstream, folder, cpus):
        self.port = processes.free_port()
        return serve_corral(self.binary, self.port, folder, cpus, f"""\
endpoints:
  - name: bench
    binding: openai
    url: "http://127.0.0.1:{upstream}"
    models: [bench-model]
    capacity: {STREAMS_AT_ONCE}
{self.extra}""")


class Nginx(Subject):
    name = "nginx"

    def start(self, upstream, folder, cpus):
        self.port = processes.free_port()
        folder = Path(folder)
        config = folder / "nginx.conf"
        temporary = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(f"""\
daemon off;
user root;
worker_processes {len(cpus)};
worker_rlimit_nofile {STREAMS_AT_ONCE * 2};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections {STREAMS_AT_ONCE * 2}; }}
http {{
  access_log {folder}/nginx-access.log combined;
{temporary}  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  tcp_nodelay on;
  upstream bench {{
    server 127.0.0.1:{upstream};
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
""")
        return processes.Program([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config, "-e",
                                  folder / "nginx-error.log"], cpus, folder, "nginx",
                                 lambda: processes.answers(self.port))


class HAProxy(Subject):
    name = "haproxy"

    def start(self, upstream, folder, cpus):
        self.port = processes.free_port()
        config = Path(folder) / "haproxy.cfg"
        # Its log goes to standard output, which is a file: HAProxy itself writes to none.
        config.write_text(f"""\
global
  nbthread {len(cpus)}
  maxconn {STREAMS_AT_ONCE}
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend front
  bind 127.0.0.1:{self.port} backlog 4096
  default_backend back
backend back
  server bench 127.0.0.1:{upstream} pool-max-conn 128
""")
        return processes.Program([shutil.which("haproxy") or "/usr/sbin/haproxy", "-f", config],
                                 cpus, folder, "haproxy", lambda: processes.answers(self.port))
