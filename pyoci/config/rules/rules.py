"""Rules across properties, and about values, that the schema cannot say; the ones runc's validator has and the spec's.

Everything here is about the file alone. What depends on the machine (an existing namespace, SELinux, resctrl) is
checked where it is used. An error's message has runc's words where runc has any; its pointer names the property.
`process` may be absent: the specification wants it for `start` only.
"""

from __future__ import annotations

from pyoci.config.namespaces import FLAGS
from pyoci.config.node import broken
from pyoci.config.rules import linux, mounts, namespaces, process, seccomp
from pyoci.config.rules.rule import quoted
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.hooks import Hook


def check(config: Config) -> None:
    """Raises ConfigError for the first rule that `config` breaks."""
    for violation in violations(config):
        raise violation


def violations(config: Config) -> Iterator[ConfigError]:
    """Every rule that `config` breaks, in about the order in which runc looks."""
    if config.process is not None:
        yield from process.violations(config.process)
    if config.root is None:
        yield ConfigError("root must be specified", pointer="/root", hint='add "root": {"path": "rootfs"}')
    elif not config.root.path:
        yield broken("/root/path", "must not be empty", 'for the bundle itself write "."')
    yield from namespaces.violations(config)
    if len(config.linux.namespaces) > len(FLAGS):
        return  # some are given twice; whoever asks for one again and again would go through all of them each time
    yield from mounts.violations(config)
    yield from linux.violations(config)
    if config.linux.resources.limited():
        from pyoci.config.rules import resources

        yield from resources.violations(config.linux.resources)
    if config.linux.seccomp is not None:
        yield from seccomp.violations(config.linux.seccomp)
    for hook in config.hooks.all():
        yield from _hook(hook)


def oddities(config: Config) -> list[tuple[str, str]]:
    """What breaks no rule and still calls for a warning of create: pointers and reasons. Costs next to nothing."""
    found = []
    if not config.oci_version.startswith("1."):
        found.append(("/ociVersion", f"{quoted(config.oci_version)} is no version 1.x of the specification"))
    for pointer in linux.odd_access(config.linux.resources.devices):
        found.append((pointer, "letters other than r, w and m are ignored"))
    return found


def _hook(hook: Hook) -> Iterator[ConfigError]:
    if not hook.path.startswith("/"):
        yield broken(f"{hook.pointer}/path", "must be an absolute path", "no PATH is searched for hooks")
    if hook.timeout is not None and hook.timeout >= 2**31:  # poll(2) waits no longer; the schema asks for one second
        reason = f"must be less than {2**31} seconds, not {hook.timeout}"
        yield broken(f"{hook.pointer}/timeout", reason, "leave it out for no limit")
