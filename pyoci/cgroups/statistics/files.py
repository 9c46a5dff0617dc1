"""Reading statistics files: each is opened below its cgroup's directory, parsed, and an error names it."""

from __future__ import annotations

from pyoci import os
from pyoci.cgroups.files import Directory
from pyoci.cgroups.statistics.text import number, page_sizes
from pyoci.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_HUGE_PAGES = "/sys/kernel/mm/hugepages"


def parsed(directory: Directory, name: str, parse: Callable[[bytes], T]) -> T:
    """A file's content. OSError if it cannot be read, Error if it is not in its format."""
    content = directory.read(name)
    try:
        return parse(content)
    except ValueError as error:
        raise Error(f"unable to parse {directory.path}/{name}: {error}") from None


def present(directory: Directory, name: str, parse: Callable[[bytes], T]) -> T | None:
    """The same; None if there is no such file, because the kernel was built or started without it."""
    try:
        return parsed(directory, name, parse)
    except FileNotFoundError:
        return None


def value(directory: Directory, name: str) -> int:
    """A file with one number."""
    return parsed(directory, name, number)


def huge_page_sizes() -> list[str]:
    """As the hugetlb files spell them: "2MB"; none if the kernel has no huge pages."""
    try:
        return page_sizes(os.listdir(_HUGE_PAGES))
    except FileNotFoundError:
        return []
