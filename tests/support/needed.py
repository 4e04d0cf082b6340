"""What a test needs to be installed, said without importing it: some take ten seconds."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip a test where one of these packages is not there."""
    absent = [package for package in packages if find_spec(package) is None]
    return pytest.mark.skipif(bool(absent), reason=f"needs {', '.join(absent)}")
