"""Fixtures of tests that close the gate of a module's `proxy`; a test file imports them."""

import pytest

from .wire import Wire


@pytest.fixture(autouse=True)
def open_gate(request):
    """Each test leaves an open gate and no sessions to the next one."""
    yield
    if "proxy" in request.fixturenames:
        shared = request.getfixturevalue("proxy")
        shared.ctl("resume", check=False)
        shared.wait_status(lambda s: s["sessions"]["total"] == 0 and s["gate"] == "open",
                           "an empty service with an open gate")


@pytest.fixture
def connect(proxy):
    """Opens sessions that are closed at the end of the test."""
    opened = []

    def one(name="test", to=proxy, **options):
        opened.append(Wire(to.host, to.port, "postgres", application_name=name, **options))
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()
