"""The words that the specification lists: each is checked in one place, and whoever carries it out knows them all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pyoci.config.mount_options import PROPAGATION
from pyoci.config.namespaces import FLAGS
from pyoci.config.node import Node
from pyoci.config.schema.documents import DOCUMENTS
from pyoci.errors import ConfigError
from pyoci.kernel import scheduling_names
from tests.schema_modules import SPEC
from tools.generate import schema_table

PUBLISHED = schema_table.load(str(SPEC))
WORDS: list[tuple[str, Collection[str]]] = [
    ("NamespaceType", FLAGS),
    ("SchedulerPolicy", scheduling_names.POLICIES),
    ("SchedulerFlag", scheduling_names.FLAGS),
    ("PersonalityDomain", scheduling_names.PERSONALITIES),
    ("RootfsPropagation", [*PROPAGATION, ""]),
    ("MemoryPolicyMode", scheduling_names.MEMORY_MODES),
    ("MemoryPolicyFlag", scheduling_names.MEMORY_FLAGS),
]
BY_RULES = ("MemoryPolicyMode", "MemoryPolicyFlag")  # in runc's words, for which its own tests look


def definition(documents: dict[str, Any], name: str) -> dict[str, Any]:
    """Of a word's type, among those of Linux."""
    found = documents["defs-linux.json"]["definitions"][name]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("name", "known"), WORDS, ids=[name for name, _ in WORDS])
def test_the_words_are_the_specifications(name: str, known: Collection[str]) -> None:
    checked = definition(PUBLISHED if name in BY_RULES else DOCUMENTS, name)
    assert set(known) == set(checked["enum"])
    assert ("enum" in definition(DOCUMENTS, name)) is (name not in BY_RULES), "one place checks it"


def test_the_classes_of_io_priorities_are_the_specifications() -> None:
    """They have no type of their own."""
    process = DOCUMENTS["config-schema.json"]["properties"]["process"]["properties"]
    assert set(scheduling_names.IO_CLASSES) == set(process["ioPriority"]["properties"]["class"]["enum"])


def test_a_caller_that_forgets_the_schema_is_refused_too() -> None:
    node = Node({"type": "net"}, "/linux/namespaces/0")
    with pytest.raises(ConfigError) as caught:
        node.word("type", ("pid", "network"))
    assert str(caught.value) == "config.json#/linux/namespaces/0/type: must be one of pid, network, not 'net'"
    assert node.word("type", ("net",)) == "net"
