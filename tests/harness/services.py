"""Real servers that Corral uses, started for a test on free ports of the loopback interface: Debian's
PostgreSQL and Redis. Each keeps its data in a folder of its own and ends with its block."""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
REDIS = pathlib.Path("/usr/bin/redis-server")
PASSWORD = "p%w:/7"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for_port(port, process, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nobody listens on {port} after {seconds} s")


class Service:
    """`start`, `stop`, `kill`; as a block it is started and killed."""

    def __init__(self):
        self.port = free_port()
        self.process = None

    def stop(self, number=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30)
        self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.kill()


class Redis(Service):
    def __init__(self, folder, password=PASSWORD):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password = password

    @property
    def url(self):
        login = f":{urllib.parse.quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/1"

    def start(self):
        assert REDIS.is_file(), f"{REDIS} is missing: scripts/install-deps test"
        config = self.folder / "redis.conf"
        config.write_text(f'bind 127.0.0.1\nport {self.port}\nsave ""\nappendonly no\nrequirepass "{self.password}"\n')
        self.process = subprocess.Popen([REDIS, config], cwd=self.folder, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def kill(self):
        self.stop(signal.SIGKILL)

    def ask(self, *words):
        """One command, and the raw reply."""
        def packed(words):
            return b"*%d\r\n" % len(words) + b"".join(
                b"$%d\r\n%s\r\n" % (len(one.encode()), one.encode()) for one in words)

        with socket.create_connection(("127.0.0.1", self.port), 5) as one:
            one.sendall(packed(["AUTH", self.password]) + packed(["SELECT", "1"]) + packed(words) + packed(["QUIT"]))
            reply = b""
            while piece := one.recv(65536):
                reply += piece
        assert reply.startswith(b"+OK\r\n+OK\r\n") and reply.endswith(b"+OK\r\n"), reply
        return reply[10:-5]


class Postgres(Service):
    """PostgreSQL refuses to run as root: then it runs as the user that its package made."""

    def __init__(self):
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="corral-postgres-")
        self.folder = pathlib.Path(self.home.name)
        self.user = None
        if os.geteuid() == 0:
            self.user = pwd.getpwnam("postgres").pw_uid
            os.chown(self.folder, self.user, -1)

    @property
    def url(self):
        return f"postgresql://corral:{urllib.parse.quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/postgres"

    def words(self, program, *arguments):
        assert (POSTGRES / program).is_file(), f"{POSTGRES / program} is missing: scripts/install-deps test"
        # Changing the user forgets that it is to die with us: QUIT ends all of it at once.
        become = [] if self.user is None else [
            "/usr/bin/setpriv", f"--reuid={self.user}", "--clear-groups", "--pdeathsig=QUIT", "--"]
        return [*become, str(POSTGRES / program), *arguments]

    def run(self, program, *arguments):
        subprocess.run(self.words(program, *arguments), check=True, capture_output=True, cwd=self.folder,
                       env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})

    def start(self):
        data = self.folder / "data"
        if not data.exists():
            secret = self.folder / "password"
            secret.write_text(PASSWORD)
            self.run("initdb", "--pgdata", str(data), "--username", "corral", "--pwfile", str(secret),
                     "--auth-host", "scram-sha-256", "--auth-local", "trust", "--encoding", "UTF8", "--locale",
                     "C.UTF-8", "--no-sync")
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}",
                    "fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=40"]
        words = self.words("postgres", "-D", str(data), *[word for one in settings for word in ("-c", one)])
        self.process = subprocess.Popen(words, cwd=self.folder, stderr=subprocess.DEVNULL,
                                        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"})
        wait_for_port(self.port, self.process)

    def kill(self):
        self.stop(signal.SIGQUIT)  # every process of it, without farewell

    def __exit__(self, *ended):
        super().__exit__(*ended)
        self.home.cleanup()
