"""The unit tests of session images that need two real servers, with two real servers.

`proxy_test` leaves them out by itself; here it is told where servers are.
"""

import os
import subprocess

import pytest

from support.cluster import Cluster
from support.sluice import program


@pytest.mark.skipif(not os.path.exists(program("proxy_test")), reason="built without tests")
def test_images_move_between_servers():
    with Cluster("image_old") as old, Cluster("image_new") as new:
        ran = subprocess.run(
            [program("proxy_test"), "--gtest_filter=ImageOnServer.*"],
            env={**os.environ, "PGSLUICE_TEST_PG_PORT": str(old.port),
                 "PGSLUICE_TEST_PG_PORT_NEW": str(new.port)},
            capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SKIPPED" not in ran.stdout and "PASSED" in ran.stdout
