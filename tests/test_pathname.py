"""Paths by their letters."""

from __future__ import annotations

import os.path

from hypothesis import given
from hypothesis import strategies as st

from pyoci.pathname import absolute, below, clean

paths = st.lists(st.sampled_from(["a", "ä", ".", "..", "...", ".a", "/", "//", ""])).map("".join)


@given(paths)
def test_absolute(path: str) -> None:
    """POSIX lets two slashes at the beginning mean something else than one; Linux does not."""
    assert absolute(path) == os.path.abspath(path).replace("//", "/")


@given(paths)
def test_clean(path: str) -> None:
    assert clean(path) == os.path.normpath(f"/{path}").replace("//", "/")
    assert clean(path) == clean(f"/{path}") == clean(clean(path))
    assert not {"", ".", ".."} & set(clean(path).split("/")[1:]) or clean(path) == "/"


@given(paths, paths)
def test_below(path: str, top: str) -> None:
    """Only at a whole part of the path: /ab is not below /a."""
    place, directory = clean(path), clean(top).rstrip("/")
    found = below(place, directory)
    assert clean(f"{directory}/{found}") == place if found else not f"{place}/".startswith(f"{directory}/")
    assert below(clean(f"{directory}/{path}"), directory) == clean(path) or ".." in path.split("/")
    assert below(f"{directory}x", directory) == ""
