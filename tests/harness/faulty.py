"""Both fake upstreams behind one interface: FakeUpstream in this process, bench_upstream as a program."""

import os
import pathlib
import subprocess

from harness import faults
from harness.fake_upstream import FakeUpstream

ROOT = pathlib.Path(__file__).resolve().parents[2]


def bench_program(name):
    path = pathlib.Path(os.environ.get("CORRAL_TEST_BENCH_TOOLS") or ROOT / "build" / "release" / "bin") / name
    assert path.is_file(), f"{path} is missing: ninja -C build/release {name}, or set CORRAL_TEST_BENCH_TOOLS"
    return path


class BenchUpstream(faults.Control):
    """bench_upstream with `tokens` tokens a stream and `gap` seconds between them."""

    def __init__(self, *, tokens=10, gap=0.0, port=0, control_port=0):
        rate = 1 / gap if gap else 0
        self.words = [bench_program("bench_upstream"), "--tokens", str(tokens), "--rate", str(rate),
                      "--port", str(port), "--control-port", str(control_port)]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stdout=subprocess.PIPE, text=True)
        service, control = (int(self.process.stdout.readline().rsplit(":", 1)[1]) for _ in range(2))
        self.control_port, self.port = control, service
        self.url = f"http://127.0.0.1:{service}"
        return self

    def ask(self, method, path, body=None):
        return faults.Control(self.control_port).ask(method, path, body)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class PythonUpstream(faults.Control):
    """FakeUpstream, asked over its control port as bench_upstream is."""

    def __init__(self, **options):
        self.fake = FakeUpstream(control_port=0, **options)

    def __enter__(self):
        self.fake.__enter__()
        self.port, self.url = self.fake.port, self.fake.url
        return self

    def ask(self, method, path, body=None):
        return faults.Control(self.fake.control.getsockname()[1]).ask(method, path, body)

    def __exit__(self, *ended):
        self.fake.__exit__(*ended)


KINDS = {"python": PythonUpstream, "bench": BenchUpstream}
