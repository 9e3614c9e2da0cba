"""The fixtures and the deadline of the integration tests."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from integration.conftest import (  # noqa: E402, F401  pylint: disable=wrong-import-position
    deadline, pytest_collection_modifyitems, pytest_configure)
