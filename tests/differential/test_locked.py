"""What a container with a user namespace may not have of the host's mounts: refused by runc and by pyoci alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.differential import run
from tests.differential.cases import CASES, Config, user_namespace
from tests.differential.mount_cases import binds_of
from tests.differential.test_runc import id, runc

__all__ = ["id", "runc"]

pytestmark = pytest.mark.root

REFUSED = [
    ("ro", "bind,rw,nosuid,nodev,rprivate"),
    ("nosuid,nodev,noexec,noatime", "bind,dev,suid,exec,atime"),
    ("nosuid,relatime", "bind,ro,norelatime"),
    ("noexec,nodiratime,relatime", "bind,ro,diratime"),
    ("nodiratime,relatime", "bind,strictatime"),
    ("relatime", "bind,noatime"),
    ("relatime", "bind,nodiratime"),
    ("strictatime", "bind,relatime"),
    ("strictatime", "bind,nodiratime"),
    ("noatime", "bind,strictatime"),
    ("noatime", "bind,relatime"),
    ("noatime,nodiratime", "bind,noatime"),
]
# With "r" runc has no words of its own.
REFUSED_BELOW = [
    ("nosuid", "rbind,rexec"),
    ("relatime", "rbind,rrelatime"),
    ("ro", "rbind,rrw"),
    ("dev", "rbind,rsuid"),
]


def refused(
    monkeypatch: pytest.MonkeyPatch, runtime: str, directory: Path, id: str, attributes: str, options: str
) -> str:
    """What it says of the mount, without the places and the call that differ."""

    def edit(config: Config, bundle: Path) -> None:
        user_namespace(config, bundle)
        binds_of(config, bundle, {attributes: (options,)})

    monkeypatch.setitem(CASES, "refused", edit)
    found = run.outcome(runtime, directory, "refused", id)
    assert found.status == 1, found
    text = found.error.replace('\\"', '"').replace(str(directory), "DIRECTORY")
    message = re.search(r"run failed: (unable to start container process: .*?operation not permitted)", text)
    assert message is not None, text
    return re.sub(r"mount dst=\S+, dstFd=\S+, flags=\S+: ", "", message[1])


@pytest.mark.parametrize(("attributes", "options"), REFUSED)
def test_the_same_words(
    monkeypatch: pytest.MonkeyPatch, runc: str, pyoci: str, id: str, tmp_path: Path, attributes: str, options: str
) -> None:
    ours = refused(monkeypatch, pyoci, tmp_path / "ours", f"{id}-ours", attributes, options)
    theirs = refused(monkeypatch, runc, tmp_path / "theirs", f"{id}-theirs", attributes, options)
    assert ours == theirs
    assert "locked" in ours


@pytest.mark.parametrize(("attributes", "options"), REFUSED_BELOW)
def test_of_a_tree(
    monkeypatch: pytest.MonkeyPatch, runc: str, pyoci: str, id: str, tmp_path: Path, attributes: str, options: str
) -> None:
    ours = refused(monkeypatch, pyoci, tmp_path / "ours", f"{id}-ours", attributes, options)
    theirs = refused(monkeypatch, runc, tmp_path / "theirs", f"{id}-theirs", attributes, options)
    before, words = theirs.rsplit(": ", 1)
    assert ours.startswith(before)
    assert ours.endswith(words)
