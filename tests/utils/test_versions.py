"""Versions of installed packages."""

import numpy

from utils.versions import versions


def test_what_is_not_installed_has_none():
    assert versions(["numpy", "no-such-package"]) == {"numpy": numpy.__version__, "no-such-package": None}
