"""Fixtures of the black-box suite. `corral` is shared by a file's tests; a test that stops, kills or
configures the server makes its own with `fresh`."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness.corral import Corral  # noqa: E402


def pytest_collection_modifyitems(items):
    """Files that take long begin first, so that none is left at the end with nothing beside it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="module")
def corral(tmp_path_factory):
    """A server on the bundled model, with the defaults."""
    with Corral(tmp_path_factory.mktemp("corral")) as server:
        yield server


@pytest.fixture
def client(corral):
    """The official OpenAI package, pointed at the shared server."""
    with corral.client() as client:
        yield client


@pytest.fixture
def fresh(tmp_path):
    """Makes servers for one test; each is stopped at the end, and its end checked."""
    made = []

    def make(**options):
        server = Corral(tmp_path / f"server{len(made)}", **options)
        made.append(server)
        return server

    yield make
    problems = []
    for server in made:
        if server.process and server.process.poll() is None:
            try:
                server.stop()
            except AssertionError as problem:
                problems.append(str(problem))
                server.kill()
    assert not problems, "\n".join(problems)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the servers that it used have said."""
    result = yield
    report = result.get_result()
    if report.when == "call" and report.failed:
        for name in ("corral",):
            server = item.funcargs.get(name)
            if isinstance(server, Corral):
                report.sections.append((f"{name}: last of the log", server.log_text()[-4000:]))
