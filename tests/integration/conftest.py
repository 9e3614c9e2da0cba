"""What all integration tests share: the path to tests/support, servers, and a deadline each."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support import sluice  # noqa: E402  pylint: disable=wrong-import-position
from support.cluster import Cluster  # noqa: E402  pylint: disable=wrong-import-position

DEADLINE_S = 120


def pytest_configure(config):
    config.addinivalue_line("markers", "deadline(seconds): how long this test may take at most")
    config.addinivalue_line("markers", "direct: this test runs without the daemon, too")


def pytest_collection_modifyitems(items):
    """Only a tree without a build may leave tests out; with a build they run or fail."""
    if sluice.built():
        return
    for item in items:
        if not item.get_closest_marker("direct"):
            item.add_marker(pytest.mark.skip(reason="pgsluice is not built"))


@pytest.fixture(autouse=True)
def deadline(request):
    """A test that hangs fails with a trace of where it hangs."""
    marker = request.node.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else DEADLINE_S

    def late(*_unused):
        raise TimeoutError(f"{request.node.name} did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def blue():
    """A server that the tests of one file share; each leaves it running and without sessions."""
    with Cluster("blue") as server:
        yield server


@pytest.fixture(scope="module")
def green():
    """A second server, independent of `blue`."""
    with Cluster("green") as server:
        yield server
