"""Podman's service for Docker clients, with a storage of its own under /tmp that goes with it. No
registry is needed: images are made of folders here."""

import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time

CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


class Podman:
    """As a block: `socket` is what docker.socket is to name."""

    def __init__(self):
        # A short path: the name of a unix socket has at most 107 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="corral-podman-", dir="/tmp"))
        self.socket = self.folder / "podman.sock"
        self.log = self.folder / "service.log"
        self.process = None
        (self.folder / "containers.conf").write_text(CONTAINERS_CONF)
        (self.folder / "policy.json").write_text(POLICY)
        (self.folder / "registries.conf").write_text("")
        self.env = os.environ | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }

    def words(self):
        return [
            "podman",
            f"--root={self.folder}/root",
            f"--runroot={self.folder}/run",
            f"--tmpdir={self.folder}/tmp",
            "--storage-driver=vfs",
            "--runtime=runc",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
        ]

    def call(self, *words, check=True):
        done = subprocess.run(
            [*self.words(), *words], env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, f"podman {words}: {done.stderr}"
        return done.stdout.strip()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.words(), "system", "service", "--time=0", f"unix://{self.socket}"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "podman's service does not come up"
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None
        self.socket.unlink(missing_ok=True)

    def image(self, name, *files, entrypoint=()):
        """Of programs with the libraries that they need."""
        rootfs = self.folder / "rootfs"
        for file in files:
            put(rootfs, pathlib.Path(file), f"bin/{pathlib.Path(file).name}")
            for library in libraries_of(file):
                put(rootfs, library, str(library).lstrip("/"))
        (rootfs / "tmp").mkdir(parents=True, exist_ok=True)
        archive = self.folder / "rootfs.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(rootfs, arcname=".")
        words = ", ".join(f'"{word}"' for word in entrypoint)
        self.call("import", "--quiet", "--change", f"ENTRYPOINT [{words}]", str(archive), name)
        archive.unlink()
        shutil.rmtree(rootfs)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.call("rm", "--all", "--force", "--time=0", check=False)
        self.stop()
        # What a storage driver or a network left mounted would survive the folder.
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            if str(self.folder) in line.split()[1]:
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def put(rootfs, source, target):
    place = rootfs / target
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source.resolve(), place)


def libraries_of(file):
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
    found = []
    for line in said.splitlines():
        for word in line.split():
            if word.startswith("/") and pathlib.Path(word).is_file():
                found.append(pathlib.Path(word))
    return found
