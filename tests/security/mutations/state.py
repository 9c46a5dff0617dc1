"""What decides by a container's record: whose it is, whose process is meant, who may write to start."""

from __future__ import annotations

from tests.security.mutations.mutation import at

MUTATIONS = (
    *at(
        "pyoci/container/state.py",
        (
            "a process that waits is known by what it is, not by its name",
            "bool(int(fields[6]) & _PF_FORKNOEXEC)",
            'content.partition(b"(")[2].startswith(WAITING_NAME.encode())',
            "security/hostile/test_commands.py::test_a_program_with_the_name_of_one_that_waits",
        ),
        (
            "a name with parentheses",
            'content[content.rindex(b")") + 2 :]',
            'content[content.index(b")") + 2 :]',
            "security/hostile/test_commands.py::test_no_command_reads_its_name",
        ),
        (
            "one whose first thread has ended is no zombie",
            '    letter = "" if fields[0] == b"Z" and int(fields[17]) > 1 else fields[0].decode()',
            "    letter = fields[0].decode()",
            "security/hostile/test_commands.py::test_one_that_looks_like_a_zombie_runs",
        ),
        (
            "a pid that is used again",
            'found is not None and found[1] == start_time and found[0] not in ("Z", "X")',
            'found is not None and found[0] not in ("Z", "X")',
            "container/test_life_cycle.py::test_a_recycled_pid_is_never_signalled",
        ),
        (
            "--root of another user",
            "    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o1022 in (0o020, 0o002, 0o022):",
            "    if status.st_mode & 0o1022 in (0o020, 0o002, 0o022):",
            "security/test_state_directory.py::test_whose_root",
        ),
        (
            "--root that others may write",
            "    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o1022 in (0o020, 0o002, 0o022):",
            "    if status.st_uid not in (0, os.geteuid()):",
            "security/test_state_directory.py::test_whose_root",
        ),
        (
            "a container's directory of another user",
            "    if status.st_uid != os.geteuid() or status.st_mode & 0o022:",
            "    if status.st_mode & 0o022:",
            "security/test_state_directory.py::test_the_name_is_taken_by_a_trap",
        ),
        (
            "a container's directory that others may write",
            "    if status.st_uid != os.geteuid() or status.st_mode & 0o022:",
            "    if status.st_uid != os.geteuid():",
            "security/test_state_directory.py::test_the_name_is_taken_by_a_trap",
        ),
        (
            "a link in place of a container's directory",
            "os.open(id, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)",
            "os.open(id, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)",
            "security/test_state_directory.py::test_the_name_is_taken_by_a_trap",
        ),
        (
            "ids that lead elsewhere",
            # Of these only "." and "..": delete --force of "/etc" would do so.
            '    if not _ALLOWED.issuperset(id) or id in (".", ".."):',
            "    if not _ALLOWED.issuperset(id):",
            "security/test_state_directory.py::test_names_that_are_none",
        ),
        (
            "delete does not follow links",
            "    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC\n    try:",
            "    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC\n    try:",
            "security/test_state_directory.py::test_no_link_is_removed_as_a_directory",
        ),
        (
            "something else in place of state.json",
            "os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)",
            "os.open(FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)",
            "container/test_damaged.py::test_what_is_no_file",
        ),
    ),
    *at(
        "pyoci/container/create.py",
        (
            "a container's directory is closed to others",
            "os.mkdir(self.options.id, 0o700, dir_fd=root)",
            "os.mkdir(self.options.id, 0o755, dir_fd=root)",
            "security/test_fifo.py::test_modes",
        ),
        (
            "the fifo is closed to others",
            "os.mkfifo(state.FIFO, 0o640, dir_fd=self.directory)",
            "os.mkfifo(state.FIFO, 0o666, dir_fd=self.directory)",
            "security/test_fifo.py::test_modes",
        ),
        (
            "an undo spares the next container of the name",
            "    if state.is_named(root, id, directory):\n        state.remove_directory",
            "    if True:\n        state.remove_directory",
            "container/test_records.py::test_an_undo_spares_the_next_container_of_the_name",
        ),
        (
            "an undo kills in its own cgroups only",
            "    kill_cgroup(container)\n",
            "    members.kill(dict(container.cgroups))\n",
            "container/test_shared_cgroup.py::test_undoing_a_create_spares_a_cgroup_that_was_made_anew",
        ),
    ),
    *at(
        "pyoci/container/start.py",
        (
            "one of two starts succeeds",
            "        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)",
            "        pass",
            "container/test_together.py",
        ),
    ),
    *at(
        "pyoci/container/kill.py",
        (
            "nobody is killed for being in a cgroup of two containers",
            "        sharing.refuse_to_kill(container)",
            "        pass",
            "container/test_shared_cgroup.py::test_two_that_an_older_pyoci_let_have_one_cgroup",
        ),
        (
            "kill ends nobody in a cgroup that was made anew",
            "    cgroups = processes.own(container.cgroups, container.cgroup_ids)\n    if not cgroups or",
            "    cgroups = container.cgroups\n    if not cgroups or",
            "container/test_shared_cgroup.py::test_undoing_a_create_spares_a_cgroup_that_was_made_anew",
        ),
    ),
    *at(
        "pyoci/container/delete.py",
        (
            "delete kills nobody that is left in the cgroup",
            "    if container.cgroups_made and not container.private_pid:\n        kill_cgroup",
            "    if container.cgroups_made:\n        kill_cgroup",
            "container/test_shared_cgroup.py::test_delete_kills_nobody_else",
        ),
        (
            "delete removes no cgroup that was made anew",
            "    cgroups = processes.own(container.cgroups, container.cgroup_ids)\n    if not cgroups:",
            "    cgroups = container.cgroups\n    if not cgroups:",
            "container/test_shared_cgroup.py::test_one_that_was_removed_has_no_successor",
        ),
        (
            "a failed run removes no other container of its name",
            ".created == container.created:",
            ":",
            "container/test_records.py::test_a_run_that_fails_spares_the_next_container_of_the_name",
        ),
        (
            "a process in the cgroup of a create that was killed lives on",
            "    if container.cgroups_made and not container.private_pid:\n        kill_cgroup",
            "    if not container.private_pid:\n        kill_cgroup",
            "container/test_records.py::test_cgroups_that_create_had_not_made_yet_keep_their_processes",
        ),
    ),
    *at(
        "pyoci/container/sharing.py",
        (
            "two containers of one root have two cgroups",
            "        if _common(container, other):\n            remedy",
            "        if False:\n            remedy",
            "container/test_shared_cgroup.py::test_create_refuses_the_cgroup_of_another",
        ),
    ),
    *at(
        "pyoci/container/salvage.py",
        (
            "nothing but a cgroup is removed as one",
            "    return kinds <= {CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC}",
            "    return True",
            "container/test_salvage.py::test_nothing_but_a_cgroup_is_removed_as_one",
        ),
        (
            "of a damaged record a process without start time is nobody's",
            "        if found is None:\n            return {}",
            "        if found is None:\n            return {}\n        os.kill(int(found[1]), 0)\n        "
            "return {'init_process_pid': int(found[1]), 'init_process_start': 1}",
            "container/test_salvage.py::test_of_a_file_that_was_cut_off_the_process_is_told",
        ),
    ),
    *at(
        "pyoci/container/records.py",
        (
            "pid and start time belong together",
            "    if bool(pid) != bool(start_time):",
            "    if False:",
            "container/test_damaged.py::test_every_member_as_something_else",
        ),
        (
            "numbers are in their range",
            "        if not 0 <= value <= most:",
            "        if False:",
            "container/test_damaged.py::test_a_pid_that_no_process_can_have",
        ),
        (
            "members have their type",
            "        if type(value) is kind:  # not isinstance: True is no number here",
            "        if True:",
            "container/test_damaged.py::test_every_member_as_something_else",
        ),
        (
            "cgroups are absolute and without dots",
            '            if path[:1] != "/" or path == "/" or pathname.absolute(path) != path:',
            "            if False:",
            "container/test_damaged.py::test_every_member_as_something_else",
        ),
    ),
    *at(
        "pyoci/seccomp/cache.py",
        (
            "a compiled filter has its hash",
            "digest != _hash(content) or name",
            "name",
            "seccomp/test_cache.py::test_flipped_bits",
        ),
        (
            "a compiled filter is that of the profile",
            "or name != key.encode() or",
            "or",
            "seccomp/test_cache.py::test_an_entry_under_another_name_is_not_believed",
        ),
        (
            "a compiled filter is ours",
            "found.st_uid == os.geteuid() and found.st_mode == stat.S_IFREG | 0o600",
            "True",
            "seccomp/test_cache.py::test_another_owner_is_not_believed",
        ),
        (
            "the directory of compiled filters is ours",
            "    if found.st_uid == os.geteuid():\n",
            "    if True:\n",
            "seccomp/test_cache.py::test_a_directory_of_another_owner_is_left_alone",
        ),
        (
            "the directory of compiled filters is no link",
            "os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)",
            "os.open(path, os.O_RDONLY | os.O_DIRECTORY)",
            "seccomp/test_cache.py::test_links_are_not_followed",
        ),
    ),
)
