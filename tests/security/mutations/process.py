"""What the container's process has open, when it becomes its program, and the sources of its mounts."""

from __future__ import annotations

from tests.security.mutations.mutation import at, together

MUTATIONS = (
    *at(
        "pyoci/steps/init/launch.py",
        (
            "the process that waits has nothing of the host open",
            "        close_from(self.keep + 3, context)\n",
            "",
            "security/test_descriptors.py::test_the_process_that_waits",
        ),
        (
            "what the process that waits has open is closed at execve",
            "            os.dup2(copy, target, inheritable=False)",
            "            os.dup2(copy, target)",
            "security/test_descriptors.py::test_the_process_that_waits",
        ),
        (
            "the program has nothing of the process that waited",
            "        os.dup2(opened, self.keep, inheritable=False)",
            "        os.dup2(opened, self.keep)",
            "security/test_descriptors.py::test_the_program",
        ),
        (
            "the filter is loaded",
            "        filter = None if context.filtered else context.filter",
            "        filter = None",
            "steps/init/test_launch.py::test_the_filter_is_in_force",
        ),
        (
            "nothing but execve after the filter",
            "                prepared.load(flags)\n            image.execve(program)",
            "                prepared.load(flags)\n            os.getpid()\n            image.execve(program)",
            "steps/init/test_launch.py::test_nothing_but_execve_after_the_filter",
        ),
        (
            "nothing is imported in the container",
            "        image.warm()\n",
            "        import stringprep  # noqa: F401\n\n        image.warm()\n",
            "security/test_late_code.py::test_nothing_is_loaded_by_name",
        ),
    ),
    *at(
        "pyoci/steps/init/enter.py",
        (
            "a process of exec has no pidfd of the listener's helper",
            "            context.handover.forget_helper()\n",
            "            pass\n",
            "container/listener/test_listener.py::test_exec_has_no_pidfd_of_the_helper",
        ),
    ),
    *at(
        "pyoci/container/process/init.py",
        (
            "the process ends with the runtime",
            "        prctl.set_parent_death_signal(SIGKILL)",
            "        pass",
            "container/test_killed.py::test_a_process_whose_hook_hangs_ends_with_the_runtime",
        ),
        (
            "the process closes what is the runtime's",
            "        _close_the_runtimes(context)\n",
            "        context.descriptors.pop('bundle', None)\n        context.proc = context.cgroup = -1\n",
            "security/test_descriptors.py::test_the_process_whose_hook_runs",
        ),
    ),
    *at(
        "pyoci/steps/init/sync.py",
        (
            "the container leads a session of its own",
            "        os.setsid()",
            "        pass",
            "security/test_terminal.py::test_the_callers_terminal_stays_the_callers",
        ),
    ),
    *at(
        "pyoci/cli/launch.py",
        (
            "an unsealed interpreter is refused",
            "    if invocation.sealed:\n        return",
            "    return",
            "test_main.py::test_what_the_launcher_left_unsealed_does_not_run",
        ),
        (
            "hooks and programs do not get the launcher's variables",
            '    environment.take_variable("LC_ALL")',
            "    pass",
            "test_main.py::test_the_launcher_s_variables_do_not_stay",
        ),
    ),
    *at(
        "pyoci/steps/init/binds.py",
        (
            "a source below the root is looked up below it",
            "            place = path.open_in_root(context.root, targets.encode(inside))",
            "            place = mount.open_place(self.mount.source.encode())",
            "security/test_sources.py::test_a_link_of_the_image_leads_nowhere_outside",
        ),
    ),
    *at(
        "pyoci/steps/init/sources.py",
        (
            "a source that leads below the root by links is looked up below it",
            "    if directory == rootfs:\n",
            "    if False:\n",
            "steps/host/test_sources.py::test_a_link_of_the_host_to_the_root",
        ),
        (
            "links of the image in a second mount of the root stay in it",
            "        return path.open_in_root(root, targets.encode(name))",
            "        return mount.open_place(source.encode())",
            "steps/host/test_sources.py::test_a_second_mount_of_the_root_is_the_host_s",
        ),
    ),
    *at(
        "pyoci/steps/init/binds.py",
        (
            "a copy leaves the peer group of its original",
            "            mount.set_attributes(tree, propagation=propagation, recursive=True)",
            "            pass",
            "security/test_propagation.py::test_a_mount_inside_a_bind_of_a_shared_mount",
        ),
        (
            "attributes of the host's mounts are locked in a user namespace",
            "held = attributes.locks_of(view, place) if locked else 0",
            "held = 0",
            "security/test_sources.py::test_programs_and_devices_of_a_mount_that_forbids_them",
        ),
    ),
    *at(
        "pyoci/steps/host/sources.py",
        (
            "the runtime maps the ids of no other mount",
            "    if len(message.descriptors) != 1 or mappings is None:",
            "    if len(message.descriptors) != 1:",
            "steps/host/test_sources.py::test_nothing_else_is_mapped",
        ),
    ),
    *at(
        "pyoci/steps/init/attributes.py",
        (
            "ro, nosuid, nodev and noexec are locked",
            "    if locked & LOCKABLE & ~after:\n        return False",
            "    pass",
            "steps/init/test_attributes.py::test_outside_as_the_kernel_decides_inside",
        ),
        (
            "access times are locked",
            "return not (locked & LOCKED_ATIME and (before ^ after) & _ATIMES)",
            "return True",
            "steps/init/test_attributes.py::test_outside_as_the_kernel_decides_inside",
        ),
        (
            "what is mounted below is locked as well",
            "for one in below(view, place) if wanted.recursive else ():",
            "for one in ():",
            "steps/init/test_attributes.py::test_a_mount_below_that_is_locked_is_named",
        ),
    ),
    *at(
        "pyoci/steps/hooks/run.py",
        (
            "a hook that hangs is ended",
            "                self.kill()\n        grace",
            "                pass\n        grace",
            "steps/hooks/test_hooks.py::test_timeout",
        ),
    ),
    *at(
        "pyoci/environment.py",
        (
            "no program is looked for in relative directories",
            'if directory.startswith("/") and os.path.isfile(path)',
            "if os.path.isfile(path)",
            "test_environment.py::test_no_program_of_the_working_directory",
        ),
    ),
    *at(
        "pyoci/kernel/program_file.py",
        (
            "program headers end with the file",
            "        if at + step > len(data):",
            "        if False:",
            "kernel/test_program_file.py::test_a_damaged_file_is_read_to_its_end_and_no_further",
        ),
        (
            "interpreters of interpreters end",
            "    for _ in range(_SCRIPTS):",
            "    while True:",
            "kernel/test_program_file.py",
        ),
    ),
    *at(
        "pyoci/steps/listener/agent.py",
        (
            "the directory of an agent is not open in the shared table",
            "    if shared:\n",
            "    if False:\n",
            "security/test_exec.py::test_a_seccomp_agent_and_its_listener",
        ),
    ),
    *at(
        "pyoci/channel.py",
        (
            "a message of the container's process is one of the protocol",
            "    if len(data) > _LIMIT or FIELDS.get(kind) != len(fields):",
            "    if len(data) > _LIMIT:",
            "test_channel.py",
        ),
    ),
    *at(
        "pyoci/kernel/rights.py",
        (
            "descriptors that are sent are closed at execve",
            "most * _SIZE), _socket.MSG_CMSG_CLOEXEC)",
            "most * _SIZE))",
            "kernel/test_rights.py",
        ),
    ),
    *at(
        "pyoci/log.py",
        (
            "a log that is a FIFO nobody reads",
            "os.O_NOCTTY | os.O_NONBLOCK",
            "os.O_NOCTTY",
            "test_log.py",
        ),
    ),
    together(
        "what would be imported in the container is not found",
        "security/test_late_code.py::test_nothing_is_loaded_by_name",
        ("pyoci/container/process/init.py", "        seal_imports()\n", ""),
        (
            "pyoci/steps/init/launch.py",
            "        image.warm()\n",
            "        try:\n            import tokenize  # noqa: F401\n        except ImportError:\n            pass\n"
            "        image.warm()\n",
        ),
    ),
    together(
        "a program that is a FIFO or a device is not read, by either look",
        "kernel/test_program_file.py",
        ("pyoci/kernel/program_file.py", "    if kind is not None:", "    if False:"),
        (
            "pyoci/kernel/program_file.py",
            "return os.read(descriptor, _LOOKED_AT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None",
            "return os.read(descriptor, _LOOKED_AT)",
        ),
    ),
)
