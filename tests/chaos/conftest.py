"""The fixtures and the deadline of the integration tests; and the fault points as parameters."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from integration.conftest import (  # noqa: E402, F401  pylint: disable=wrong-import-position
    deadline, pytest_collection_modifyitems, pytest_configure)
from support import sluice  # noqa: E402  pylint: disable=wrong-import-position


def pytest_generate_tests(metafunc):
    """A test with a parameter `fault` runs for each that `faults_of(test)` of its file names."""
    if "fault" in metafunc.fixturenames:
        found = metafunc.module.faults_of(metafunc.function.__name__) if sluice.built() else []
        metafunc.parametrize("fault", found, ids=[str(each) for each in found])
