"""A real llama-server, started for a test on a free port: an endpoint that may be killed."""

import signal
import subprocess

from harness.corral import clean_environment, engine
from harness.services import Service, wait_for_port


class LlamaServer(Service):
    def __init__(self, model, *arguments, slots=1):
        super().__init__()
        self.model, self.arguments, self.slots = model, arguments, slots

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            [engine(), "-m", str(self.model), "--host", "127.0.0.1", "--port", str(self.port), "-c",
             str(2048 * self.slots), "-np", str(self.slots), "-t", "1", "-b", "2048", "-ub", "2048", "--fit", "off",
             "--cache-ram", "0", "--offline", "--no-ui", *self.arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
        wait_for_port(self.port, self.process, 60)

    def kill(self):
        self.stop(signal.SIGKILL)
