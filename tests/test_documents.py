"""The documents: links lead somewhere, paths in back quotes exist, every page can be reached, nothing else is cited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "docs" / "README.md"
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "conformance/README.md")]
    + list((ROOT / "docs").rglob("*.md"))
)

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"`([^`]+)`")
# Anywhere, in commands and source code as well.
NAMED = re.compile(r"(?<![\w./~$-])(?:pyoci|tests|tools|native)/[\w./*-]*[\w*](?:::\w+)?")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

FOLDERS = ("pyoci", "tests", "tools", "native", "spec", "conformance", "docs")
# What a path with a file's name may be relative to: generated tables leave tests/ out, lanes.md is about tests/lanes.
BASES = (ROOT, ROOT / "pyoci", ROOT / "tests", ROOT / "tests" / "lanes")
SOURCE = re.compile(r"\.(py|c|h)$")
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")  # pyoci/cli/COMMAND.py
# Working papers that are not in the repository.
ABSENT = re.compile(r"\bDESIGN\b|\bSEC-\d|\btraps? \d|(?<![\w-])(newest|features)\.md")
# Made when pyoci is built.
BUILT = {"pyoci/config/schema/table.py", "pyoci/config/schema/documents.py"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The text but for fenced blocks, which show source code and not links."""
    return FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """The relative ones, with their anchors."""
    found = LINK.findall(QUOTED.sub("", prose(page)))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def target_of(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


def anchors(page: Path) -> set[str]:
    """As the hosting sites make them of headings."""
    plain = [re.sub(r"[`*]", "", heading).lower() for heading in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def fault(word: str) -> str:
    """What is wrong with a word in back quotes, "" if it is no path of this repository, or one that exists."""
    path, _, test = word.rstrip(".,;").partition("::")
    path = re.sub(r":\d+(-\d+)?$", "", path)
    known = path.partition("/")[0] in FOLDERS and "/" in path
    if not (known or SOURCE.search(path)) or not re.fullmatch(r"[\w*-][\w./*-]*", path) or path in BUILT:
        return ""
    pattern = PLACEHOLDER.sub("*", path)
    if "/" in path:
        found = [file for base in BASES for file in base.glob(pattern)]
    else:
        found = [file for folder in FOLDERS for file in (ROOT / folder).rglob(pattern)]
    if not found:
        return f"`{word}`: there is no such file"
    function = test.partition("[")[0]
    if test and not any(re.search(rf"^def {function}\(", file.read_text(), re.MULTILINE) for file in found):
        return f"`{word}`: there is no such test"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, anchor = target_of(page, link), link.partition("#")[2]
        assert target.exists(), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: {name_of(target)} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_exist(page: Path) -> None:
    words = {word for quoted in QUOTED.findall(prose(page)) for word in quoted.split()}
    words |= set(NAMED.findall(page.read_text()))
    faults = sorted(found for found in map(fault, words) if found)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_nothing_is_cited_that_is_not_there(page: Path) -> None:
    assert not ABSENT.findall(page.read_text())


def test_every_page_can_be_reached() -> None:
    """From README.md, by links alone."""
    found, new = set(), [ROOT / "README.md"]
    while new:
        page = new.pop()
        if page not in found:
            found.add(page)
            new += [target for link in links(page) if (target := target_of(page, link)).suffix == ".md"]
    lost = [name_of(page) for page in PAGES if page not in found]
    assert not lost, f"nothing leads to {', '.join(lost)}"


def test_the_index_has_every_page() -> None:
    listed = {target_of(INDEX, link) for link in links(INDEX)}
    pages = {page for page in INDEX.parent.glob("*.md") if page != INDEX}
    assert not pages - listed, sorted(map(name_of, pages - listed))


@pytest.mark.parametrize(
    "word",
    [
        "pyoci/steps/nowhere.py",
        "steps/nowhere.py",
        "nowhere.py",
        "pyoci/nowhere/*.py",
        "tests/test_documents.py::test_nothing_of_that_name",
        "pyoci/channel.py.",
        "pyoci/nowhere/NAME.py:12",
    ],
)
def test_a_fault_is_seen(word: str) -> None:
    assert bool(fault(word)) == (word != "pyoci/channel.py.")


@pytest.mark.parametrize(
    "word",
    ["pyoci/channel.py:12", "steps/step.py", "pyoci/cli/NAME.py", "pyoci/steps/*", "/nowhere/x.py", "pyoci/", "create"],
)
def test_what_is_there_is_no_fault(word: str) -> None:
    assert not fault(word)
