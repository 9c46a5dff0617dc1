"""features: what this runtime can do (features.md and features-linux.md of the runtime specification).

Engines decide by it, so it lists what works in this version and nothing else.
"""

from __future__ import annotations

from _frozen_importlib_external import PathFinder

from pyoci import SPEC_VERSION, __version__, jsonfile
from pyoci.cli.output import emit
from pyoci.cli.version import libseccomp
from pyoci.config import mount_options
from pyoci.config.namespaces import FLAGS
from pyoci.kernel import capability_names, textfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cli.options import Options

_HOOKS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


def main(_options: Options) -> int:
    """Print the object, indented by four as runc does."""
    emit(jsonfile.dumps_indent(features(), 4) + "\n")
    return 0


def features() -> dict[str, Any]:
    """The object, in the order of the specification."""
    annotations = {"io.github.pyoci.version": __version__}
    seccomp_version = libseccomp()
    if seccomp_version:
        annotations["io.github.seccomp.libseccomp.version"] = seccomp_version
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": _HOOKS,
        "mountOptions": mount_options.names(),
        "linux": {
            "namespaces": sorted(FLAGS),
            "capabilities": capabilities(),
            "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True},
            "seccomp": seccomp() if seccomp_version else {"enabled": False},
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": True, "schemata": True, "monitoring": True},
            "memoryPolicy": memory_policy(),
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": PathFinder.find_spec("pyroute2") is not None},
        },
        "annotations": dict(sorted(annotations.items())),
        "potentiallyUnsafeConfigAnnotations": ["org.systemd.property."],
    }


def capabilities() -> list[str]:
    """The names that both pyoci and the running kernel know, by number."""
    last = int(textfile.read("/proc/sys/kernel/cap_last_cap"))
    return list(capability_names.NAMES[: last + 1])


def memory_policy() -> dict[str, list[str]]:
    """The names that linux.memoryPolicy may have; what the kernel makes of them, it says itself."""
    from pyoci.kernel.scheduling_names import MEMORY_FLAGS, MEMORY_MODES

    return {"modes": sorted(MEMORY_MODES), "flags": sorted(MEMORY_FLAGS)}


def seccomp() -> dict[str, Any]:
    """What profiles may name. Flags that the running kernel does not know are known, but not supported."""
    from pyoci.kernel import constants
    from pyoci.kernel import libseccomp as library
    from pyoci.kernel import seccomp as kernel
    from pyoci.seccomp import profile

    flags = {
        "SECCOMP_FILTER_FLAG_TSYNC": constants.SECCOMP_FILTER_FLAG_TSYNC,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW": constants.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        "SECCOMP_FILTER_FLAG_LOG": constants.SECCOMP_FILTER_FLAG_LOG,
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": constants.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    }
    return {
        "enabled": True,
        "actions": sorted(profile.ACTIONS),
        "operators": sorted(profile.OPERATORS),
        "archs": [f"SCMP_ARCH_{name}" for name in profile.ARCHITECTURES if library.architecture(name.lower())],
        "knownFlags": list(flags),
        "supportedFlags": [name for name, flag in flags.items() if kernel.flags_supported(flag)],
    }
