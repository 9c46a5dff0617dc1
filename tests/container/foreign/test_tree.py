"""The tests of test_foreign.py and test_foreign_exec.py with the runc that Debian 13 has, 1.1."""

from __future__ import annotations

import pytest

from tests.container.box import Box
from tests.container.foreign import test_exec, test_foreign
from tests.container.runcs import Theirs, runc

__all__ = ["runc"]
pytestmark = [pytest.mark.root, pytest.mark.tree]


@pytest.fixture
def theirs(runc: str, either_box: Box) -> Theirs:
    return Theirs(runc, either_box)


@pytest.fixture
def on_v1(runc: str, box: Box) -> Theirs:
    return Theirs(runc, box)


def test_from_created_to_deleted(theirs: Theirs) -> None:
    test_foreign.test_from_created_to_deleted(theirs)


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_delete_with_force_leaves_nothing(theirs: Theirs, status: str) -> None:
    test_foreign.test_delete_with_force_leaves_nothing(theirs, status)


def test_without_a_pid_namespace_of_its_own(theirs: Theirs) -> None:
    test_foreign.test_without_a_pid_namespace_of_its_own(theirs)


def test_runc_goes_on_with_what_pyoci_has_begun(theirs: Theirs) -> None:
    test_foreign.test_runc_goes_on_with_what_pyoci_has_begun(theirs)


def test_the_filter_is_runc_s(on_v1: Theirs) -> None:
    test_exec.test_the_filter_is_runc_s(on_v1)


def test_limits_are_changed_in_turn(on_v1: Theirs) -> None:
    test_exec.test_limits_are_changed_in_turn(on_v1)
