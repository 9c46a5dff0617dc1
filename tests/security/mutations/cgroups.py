"""Cgroups, their processes, and the text of the kernel in which others choose the names."""

from __future__ import annotations

from tests.security.mutations.mutation import at

MUTATIONS = (
    *at(
        "pyoci/cgroups/processes.py",
        (
            "a cgroup that was removed and made again is not the container's",
            "        if inode and not files.is_known(place, inode):",
            "        if False:",
            "container/test_shared_cgroup.py::test_one_that_was_removed_while_it_runs",
        ),
        (
            "a number used anew is not signalled",
            "        for pid in pids(paths):\n            if pid in pinned:",
            "        for pid in pinned:\n            if True:",
            "cgroups/test_processes.py::test_a_number_used_anew_is_not_signalled",
        ),
        (
            "nothing escapes a kill by forking",
            "        if not _kill_file(paths):\n            _freeze(paths, frozen=True)\n",
            "        _kill_file(paths)\n",
            "cgroups/test_processes.py::test_nobody_can_fork_while_it_kills",
        ),
        (
            "who froze itself below the container is killed",
            '    if "freezer" not in paths:\n        return\n    try:\n        with Tree() as tree, tree.open(paths',
            "    return\n    try:\n        with Tree() as tree, tree.open(paths",
            "container/test_paused_below.py::test_a_frozen_cgroup_below",
        ),
    ),
    *at(
        "pyoci/cgroups/manager.py",
        (
            "a cgroup in which somebody is is refused",
            "    if held:\n",
            "    if False:\n",
            "cgroups/test_in_use.py",
        ),
        (
            "a frozen cgroup is refused",
            "    if frozen:\n",
            "    if False:\n",
            "cgroups/test_in_use.py",
        ),
        (
            "a cgroup is made in a cgroup file system only",
            "        if filesystem_type(directory.descriptor) not in (CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC):",
            "        if False:",
            "cgroups/test_manager.py",
        ),
    ),
    *at(
        "pyoci/cgroups/files.py",
        (
            "what is mounted in a cgroup is not the container's",
            "os.fsencode(name), flags, _SAFE | RESOLVE_NO_XDEV)",
            "os.fsencode(name), flags, _SAFE)",
            "cgroups/test_removal.py::test_a_mount_point_is_left_alone",
        ),
    ),
    *at(
        "pyoci/cgroups/removal.py",
        (
            "no ordinary directory is removed for a cgroup",
            "            if filesystem_type(parent.descriptor) not in (CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC):",
            "            if False:",
            "cgroups/test_removal.py::test_no_ordinary_directory_is_removed",
        ),
    ),
    *at(
        "pyoci/kernel/textfile.py",
        (
            "lines of the kernel end with its line end only",
            '    return content.removesuffix(b"\\n").split(b"\\n") if content else []',
            "    return [os.fsencode(line) for line in os.fsdecode(content).splitlines()]",
            "security/test_names.py",
        ),
    ),
    *at(
        "pyoci/kernel/mountinfo.py",
        (
            "fields of mountinfo are split at its blanks only",
            'before.split(b" ", 6)[:6]',
            "before.split()[:6]",
            "kernel/test_mountinfo.py::test_mounts_come_back",
        ),
    ),
    *at(
        "pyoci/steps/host/cgroups.py",
        (
            "devices are forbidden",
            "            manager.apply_devices(context.cgroups, self.rules, context.undo)",
            "            pass",
            "security/test_user_namespace.py::test_a_device_filter_that_cannot_be_loaded",
        ),
    ),
    *at(
        "pyoci/steps/init/cgroups.py",
        (
            "the container's processes are in its v1 cgroups",
            "        processes.join_self(context.tasks)\n",
            "",
            "container/test_membership.py",
        ),
    ),
)
