"""What the documentation says is tested has to be tested by what it names."""

import glob
import os
import re

import pytest

from support.sluice import REPOSITORY

NAMED = re.compile(r"`([\w/]+\.(?:py|cpp))`: `(\w+)`")


def texts_of(name):
    """All tests live in files of different names."""
    paths = glob.glob(os.path.join(REPOSITORY, "tests", "**", name), recursive=True)
    assert paths, f"there is no {name}"
    for path in paths:
        with open(path) as source:
            yield source.read()


@pytest.mark.direct
def test_tests_that_are_named_exist():
    named = 0
    for page in glob.glob(os.path.join(REPOSITORY, "docs", "*.md")):
        with open(page) as text:
            for file, test in NAMED.findall(text.read()):
                named += 1
                pattern = rf"def {test}\(|TEST(_F)?\(\w+, {test}\)"
                assert any(re.search(pattern, each) for each in texts_of(file)), (page, file, test)
    assert named > 50
