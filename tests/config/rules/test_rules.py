"""What holds for the rules as a whole; each chapter's rules have a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyoci import config
from pyoci.config.rules import rules
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests.config.rules import test_linux, test_mounts, test_namespaces, test_process, test_resources, test_seccomp
from tests.config.rules.cases import VALID, WITHOUT, Changes, Said, changed, found, spelled

BROKEN: list[tuple[Changes, Said]] = [
    ([("root", WITHOUT)], [("/root", "root must be specified")]),
    ([("root.path", "")], [("/root/path", "~ must not be empty")]),
    ([("hooks.poststop", [{"path": "true"}])], [("/hooks/poststop/0/path", "~ must be an absolute path")]),
    (
        [("hooks.prestart", [{"path": "/bin/true", "timeout": 2**31}])],
        [("/hooks/prestart/0/timeout", f"~ must be less than {2**31} seconds, not {2**31}")],
    ),
]
ALL = [
    *BROKEN,
    *test_process.BROKEN,
    *test_namespaces.BROKEN,
    *test_mounts.BROKEN,
    *test_linux.BROKEN,
]
REFUSED: list[Changes] = [
    *(changes for changes, _ in ALL),
    *([("linux.resources", resources)] for resources, _, _ in test_resources.BROKEN),
    *([("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", **members})] for members, _ in test_seccomp.BROKEN),
]


def test_valid() -> None:
    assert found() == []
    rules.check(config.read(VALID))


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_broken_rule(changes: Changes, said: Said) -> None:
    assert found(*changes) == spelled(said)


@pytest.mark.parametrize(("changes", "said"), ALL)
def test_check_raises_the_first(changes: Changes, said: Said) -> None:
    with pytest.raises(ConfigError) as caught:
        rules.check(config.read(changed(*changes)))
    assert (caught.value.pointer, caught.value.message) == spelled(said)[0]


@pytest.mark.parametrize("changes", REFUSED)
def test_no_rule_repeats_the_schema(changes: Changes) -> None:
    """What a rule refuses has passed the schema: else the rule's words were never read by anybody."""
    assert schema.walk(changed(*changes), CONFIG) is None


def test_accepted() -> None:
    assert found(("process", WITHOUT)) == []  # the specification wants it for start only
    assert found(("hooks.poststart", [{"path": "/bin/true", "timeout": 1}])) == []


def test_every_error_says_what_to_do_or_what_is_possible() -> None:
    for changes, _ in ALL:
        for error in rules.violations(config.read(changed(*changes))):
            assert error.hint or "must" in error.message or "overlaps" in error.message or "mapping" in error.message


CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.json"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: str(path.stem))
def test_configs_of_engines_pass(path: Path) -> None:
    messages = [error.message for error in rules.violations(config.read(json.loads(path.read_text())))]
    unmapped = [f"user namespaces enabled, but no {kind} mappings found" for kind in ("uid", "gid")]
    # crun makes the mappings itself when there are none; runc, which decides (docs/differences.md), wants them.
    assert messages == (unmapped if path.stem == "crun-spec-rootless" else [])
