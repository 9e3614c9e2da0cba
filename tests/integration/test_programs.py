"""What the programs depend on. sluicectl is copied to machines without PostgreSQL and OpenSSL."""

import os
import subprocess

from support.sluice import program


def test_sluicectl_needs_neither_libpq_nor_openssl_nor_yaml_cpp():
    linked = subprocess.run(["ldd", program("sluicectl")], capture_output=True, text=True,
                            check=True).stdout
    assert "libstdc++" in linked
    for library in ("libpq.", "libssl", "libcrypto", "yaml-cpp", "libpg_query"):
        assert library not in linked


def test_sluicectl_is_smaller_than_a_megabyte(tmp_path):
    if os.environ.get("PGSLUICE_SANITIZED"):
        return  # instrumented
    stripped = tmp_path / "sluicectl"
    subprocess.run(["strip", "-o", stripped, program("sluicectl")], check=True)
    assert stripped.stat().st_size < 1_000_000
