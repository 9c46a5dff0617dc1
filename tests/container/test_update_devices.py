"""update of the device rules: another list replaces the one in force, the same one changes nothing."""

from __future__ import annotations

import json
import os

import pytest

from pyoci.cgroups import manager
from pyoci.config.resources import DeviceRule
from pyoci.undo import Undo
from tests.container.box import Box
from tests.container.test_life_cycle import refused
from tests.container.test_pause import cgroups
from tests.container.test_update import done, update

pytestmark = pytest.mark.root

DENIED = {"allow": False, "access": "rwm"}
FUSE = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}


def openable(box: Box) -> bool:
    """Whether the container may open /dev/fuse, which no default rule allows."""
    done = box("exec", "a", "/reporter", "try", "open", "/fuse", "rw")
    assert done.stderr == "" and done.returncode == 0
    return bool(json.loads(done.stdout)["errno"] == 0)


def test_devices(either_box: Box) -> None:
    """A list that is given and is another one replaces the old one; the container keeps its default devices."""
    box = either_box
    bundle = box.bundle("sleep", change=lambda config: config["linux"]["resources"].update(devices=[DENIED]))
    os.mknod(bundle / "rootfs/fuse", 0o20666, os.makedev(10, 229))
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    assert not openable(box)
    done(update(box, {"devices": [DENIED, FUSE]}))
    assert openable(box)
    done(update(box, {}))
    assert openable(box), "no list, no change"
    refused(
        update(box, {"devices": [DENIED], "hugepageLimits": [{"pageSize": "2MB"}]}), "resources.json#/hugepageLimits"
    )
    assert openable(box)
    done(update(box, {"devices": [DENIED]}))
    assert not openable(box)
    assert json.loads(box("exec", "a", "/reporter", "try", "open", "/dev/null", "rw").stdout)["errno"] == 0


def test_devices_that_are_as_they_were_are_left_alone(either_box: Box) -> None:
    """Somebody may have added to them; engines send the whole of linux.resources with every update."""
    box = either_box
    bundle = box.bundle("sleep", change=lambda config: config["linux"]["resources"].update(devices=[DENIED]))
    os.mknod(bundle / "rootfs/fuse", 0o20666, os.makedev(10, 229))
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    paths = {key: str(path) for key, path in cgroups(box).items()}
    rule = DeviceRule(pointer="", allow=True, access="rwm")
    manager.apply_devices(paths, (rule,), Undo())
    assert openable(box)
    done(update(box, {"devices": [DENIED]}))
    assert openable(box)
