"""A number that is no id never becomes one, least of all 0 (CVE-2026-30892, runc's cut to 32 bits)."""

from __future__ import annotations

import json

import pytest

from tests.container.box import Done
from tests.security.harness import Arena

pytestmark = pytest.mark.root

PLACE = 987654321
NO_IDS = ["4294967295", "4294967296", "8589934592", "18446744073709551616", "1e3", "1.0", "0.0", "-1", "-0.5"]
NO_NUMBERS = ['" 7"', '"1_0"', '"010"', '"0"', "true", "[]", "{}"]
NO_JSON = ["010", "+1", "1_0", "0x10", "1.", ".5", "١"]


def run(arena: Arena, where: str, text: str) -> Done:
    """A container whose `where` ("uid", "gid", "additionalGids") is `text`, as written."""
    member = {where: [PLACE] if where == "additionalGids" else PLACE}
    user = {"uid": 1000, "gid": 1000, **member}
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(user=user))
    config = bundle / "config.json"
    config.write_text(config.read_text().replace(str(PLACE), text))
    return arena.run(bundle)


@pytest.mark.parametrize("where", ["uid", "gid", "additionalGids"])
@pytest.mark.parametrize("text", NO_IDS + NO_NUMBERS + NO_JSON)
def test_refused(arena: Arena, where: str, text: str) -> None:
    done = run(arena, where, text)
    assert arena.is_clean_failure(done), done
    assert done.stdout == ""
    if text not in NO_JSON:
        assert f"/process/user/{where}" in done.stderr


@pytest.mark.parametrize("number", [0, 1, 1000, 65536, 2147483647, 2147483648, 4294967294])
def test_accepted(arena: Arena, number: int) -> None:
    """Exactly this id, in every one of the three places of the process, and no group besides."""
    seen = json.loads(run(arena, "uid", str(number)).stdout)
    assert (seen["uid"], seen["gid"], seen["groups"]) == ([number] * 3, [1000] * 3, [])
    seen = json.loads(run(arena, "gid", str(number)).stdout)
    assert (seen["uid"], seen["gid"], seen["groups"]) == ([1000] * 3, [number] * 3, [])
    seen = json.loads(run(arena, "additionalGids", str(number)).stdout)
    assert (seen["uid"], seen["gid"], seen["groups"]) == ([1000] * 3, [1000] * 3, [number])


def test_names_do_not_matter(arena: Arena) -> None:
    """A user of the image whose name is a number (CVE-2016-3697)."""
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(user={"uid": 1000}))
    (bundle / "rootfs/etc/passwd").write_text("1000:x:0:0::/root:/bin/sh\nroot:x:1000:1000::/:/bin/sh\n")
    (bundle / "rootfs/etc/group").write_text("wheel:x:0:1000\n1000:x:0:root\n")
    seen = json.loads(arena.run(bundle).stdout)
    assert (seen["uid"], seen["gid"], seen["groups"]) == ([1000] * 3, [0] * 3, [])
