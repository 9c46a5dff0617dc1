"""Where exec goes, who the program is, what it has of the caller: namespaces, groups, capabilities, keyring."""

from __future__ import annotations

from tests.security.mutations.mutation import at, together

MUTATIONS = (
    *at(
        "pyoci/container/identity.py",
        (
            "exec compares the namespaces with what was recorded",
            "        if found[kind] != expected[kind]:",
            "        if False:",
            "security/test_identity.py::test_who_has_left_is_not_followed",
        ),
        (
            "exec compares the owner of a namespace",
            "        if found[kind] != expected[kind]:",
            "        if found[kind][:2] != expected[kind][:2]:",
            "security/test_identity.py::test_a_number_that_is_used_again",
        ),
        (
            "exec joins no kind that config.json does not name",
            "found = {kind: _open(container, kind, context) for kind, _ in container.namespaces}",
            'found = {kind: _open(container, kind, context) for kind in ("user", "mount", "pid", "network", "uts")}',
            "security/test_identity.py::test_kinds_that_config_json_does_not_name",
        ),
        (
            "a container of a runtime in a user namespace is not entered from outside",
            'return recorded if path or "user" in found else recorded[:2] + own_user',
            "return recorded",
            "security/test_identity.py::test_a_runtime_outside_of_the_user_namespace_that_the_container_was_made_in",
        ),
        (
            "without a record the owner of a new namespace counts",
            'expected[kind] = found[kind][:2] + (own_user if kind == "user" else user)',
            "expected[kind] = found[kind]",
            "container/test_identity.py::test_without_a_record_the_owner_counts",
        ),
        (
            "without a record a path counts",
            "expected[kind] = found[kind] if there == found[kind][:2] else there",
            "expected[kind] = found[kind]",
            "container/test_identity.py::test_without_a_record_a_path_counts",
        ),
        (
            "the root of a container without a mount namespace is compared",
            "    if _inode(os.fstat(root)) != expected:",
            "    if False:",
            "security/test_identity.py::test_a_root_that_was_replaced",
        ),
        (
            "the root is recorded",
            "    expected = container.identity.get(ROOT_NAME)",
            "    expected = None",
            "security/test_identity.py::test_the_root_of_a_container_without_a_mount_namespace",
        ),
        (
            "all namespaces are recorded",
            "    if len(names) != len(descriptors):",
            "    if False:",
            "container/test_identity.py::test_a_process_that_does_not_send_all",
        ),
        (
            "exec follows the first process within the container's cgroup only",
            "and path.startswith(f\"{container.cgroups['']}/\")",
            "and True",
            "security/hostile/test_cgroup.py::test_one_that_is_outside_is_not_followed",
        ),
    ),
    *at(
        "pyoci/steps/init/enter.py",
        (
            "a container that has ended is not entered",
            '        if process.has_ended(context.descriptors["container"]):',
            "        if False:",
            "container/exec/test_gone.py::test_nothing_is_joined",
        ),
        (
            "what was joined is compared",
            "            if (now.st_dev, now.st_ino) != inode:",
            "            if False:",
            "container/exec/test_gone.py::test_what_was_joined_is_looked_at_again",
        ),
        (
            "exec leaves the caller's session",
            "        os.setsid()",
            "        pass",
            "security/test_exec.py::test_the_caller_s_terminal",
        ),
        (
            "exec has nothing of the host open in the container",
            "        close_from(self.keep + 1, context)\n        context.channel",
            "        context.channel",
            "security/test_exec.py::test_what_the_container_sees",
        ),
        (
            "exec changes the root of a container without a mount namespace",
            '        os.chroot(".")',
            "        pass",
            "security/test_identity.py::test_the_root_of_a_container_without_a_mount_namespace",
        ),
    ),
    *at(
        "pyoci/container/exec.py",
        (
            "exec compares the start time of the process whose descriptor it has",
            "        if not state.is_alive(container.pid, container.start_time):\n            raise",
            "        if False:\n            raise",
            "container/exec/test_gone.py::test_a_pid_that_is_used_again_after_the_first_look",
        ),
        (
            "exec enters no cgroup that was made anew",
            "if container.cgroups_made and cgroups != container.cgroups:",
            "if False:",
            "container/test_shared_cgroup.py::test_one_that_was_removed_while_it_runs",
        ),
    ),
    *at(
        "pyoci/container/exec_process.py",
        (
            "a capability of --cap is not inheritable",
            '_CAPABILITY_SETS = ("bounding", "effective", "permitted")',
            '_CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable")',
            "security/test_exec.py::test_a_capability_is_not_inheritable",
        ),
        (
            "ids are ASCII digits",
            "    if not (text.isascii() and text.isdigit()):",
            "    if not text.strip().isdigit():",
            "security/test_exec.py::test_ids_are_ascii_digits",
        ),
        (
            "exec keeps the container's AppArmor profile",
            "apparmor_profile=process.apparmor_profile or own.apparmor_profile,",
            "apparmor_profile=process.apparmor_profile,",
            "container/exec/test_merging.py",
        ),
    ),
    *at(
        "pyoci/cgroups/subgroups.py",
        (
            "exec --cgroup stays below the container's",
            '    if joined != base and not joined.startswith(f"{base}/"):',
            "    if False:",
            "security/test_exec.py::test_no_sibling_s_cgroup",
        ),
        (
            "a sibling whose name begins like the container's is none of its cgroups",
            '    if joined != base and not joined.startswith(f"{base}/"):',
            "    if joined != base and not joined.startswith(base):",
            "security/test_exec.py::test_no_sibling_s_cgroup",
        ),
    ),
    *at(
        "pyoci/steps/init/namespaces.py",
        (
            "groups are dropped before the first join",
            "        if os.getgroups():\n            os.setgroups([])",
            "        pass",
            "security/test_groups.py::test_they_are_not_the_container_s",
        ),
    ),
    *at(
        "pyoci/steps/host/namespaces.py",
        (
            "a namespace of a path is of its type",
            "        if found != self.namespace.flag:",
            "        if False:",
            "steps/init/test_namespace_paths.py",
        ),
        (
            "a FIFO in place of a namespace",
            "os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)",
            "os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)",
            "steps/test_whole.py::test_a_namespace_whose_path_is_a_fifo",
        ),
        (
            "no kernel parameter of the host by a path to its namespace",
            "            if os.path.samestat(own, os.fstat(descriptor)):",
            "            if False:",
            "steps/init/test_namespaces.py::test_kernel_parameters_of_a_joined_namespace",
        ),
    ),
    *at(
        "pyoci/steps/init/namespaces.py",
        (
            "root of a user namespace has none of the caller's groups",
            "        if self.drop_groups:\n            os.setgroups([])",
            "        pass",
            "steps/init/test_namespaces.py::test_become_root_without_groups",
        ),
        (
            "root of a user namespace is undumpable",
            "        prctl.set_dumpable(False)",
            "        pass",
            "steps/init/test_namespaces.py::test_become_root_hides_again",
        ),
        (
            "root of a user namespace ends with the runtime",
            "        prctl.set_parent_death_signal(SIGKILL)",
            "        pass",
            "steps/init/test_namespaces.py::test_become_root_hides_again",
        ),
    ),
    *at(
        "pyoci/steps/init/identity.py",
        (
            "the caller's groups are dropped",
            "            os.setgroups(list(self.groups))",
            "            pass",
            "steps/init/test_identity.py::test_ids_and_groups",
        ),
        (
            "the process stays undumpable",
            "        prctl.set_dumpable(False)\n",
            "        pass\n",
            "steps/init/test_identity.py::test_the_process_stays_hidden_and_dies_with_the_runtime",
        ),
        (
            "the process still ends with the runtime",
            "        prctl.set_parent_death_signal(SIGKILL)",
            "        pass",
            "steps/init/test_identity.py::test_the_process_stays_hidden_and_dies_with_the_runtime",
        ),
        (
            "no new privileges",
            "        prctl.set_no_new_privileges()",
            "        pass",
            "steps/init/test_identity.py::test_small_ones",
        ),
        (
            "the bounding set",
            "        capability.limit_bounding(self.capabilities)",
            "        pass",
            "steps/init/test_user.py::test_capabilities",
        ),
        (
            "the permitted set",
            "permitted = sets.permitted & held | keep",
            "permitted = held | keep",
            "steps/init/test_identity.py::test_the_five_sets",
        ),
        (
            "the null device of all keeps its owner",
            "            if status.st_uid == self.uid or is_null(status):",
            "            if status.st_uid == self.uid:",
            "steps/init/test_identity.py::test_standard_streams_belong_to_the_user",
        ),
        (
            "nobody can make the container's keyring before it",
            'return f"_ses.{id}.{os.urandom(16).hex()}"',
            'return f"_ses.{id}"',
            "security/test_keyring.py::test_a_keyring_that_somebody_has_made_before",
        ),
    ),
    together(
        "stage 1 of exec is undumpable before it joins",
        "plan/test_exec.py::test_stage_1_hides",
        (
            "pyoci/plan/exec.py",
            "        sync.MakeUndumpable(),\n        enter.LeaveSession(),",
            "        enter.LeaveSession(),",
        ),
    ),
    together(
        "the container's process is undumpable before it joins",
        "plan/test_order.py::test_every_process_hides",
        (
            "pyoci/plan/create.py",
            "        steps.append(sync.MakeUndumpable())\n        late = self.joined",
            "        late = self.joined",
        ),
    ),
    together(
        "stage 1 is undumpable before it joins",
        "plan/test_order.py::test_every_process_hides",
        ("pyoci/plan/create.py", "        if not late:\n            steps.append(sync.MakeUndumpable())\n", ""),
    ),
    together(
        "exec gives up what loading the filter took",
        "security/test_exec.py::test_what_the_container_sees",
        (
            "pyoci/plan/exec.py",
            "return load, identity.SetCapabilities(capabilities=wanted.capabilities)",
            "return (load,)",
        ),
    ),
)
