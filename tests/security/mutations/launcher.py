"""Before the first line of Python: the environment, the seal, whose code runs; and the same for what is imported."""

from __future__ import annotations

from tests.security.mutations.mutation import at

MUTATIONS = (
    *at(
        "native/launcher/launcher.c",
        (
            "the environment is a list of what is kept",
            "        if (is_kept(environ[i]))\n",
            "",
            "native/launcher/test_environment.py::test_environment_is_a_keep_list",
        ),
        (
            "the interpreter is isolated",
            'head[] = {"-I", "-S",',
            'head[] = {"-s", "-S",',
            "native/launcher/test_environment.py::test_isolated_interpreter",
        ),
        (
            "the interpreter runs no code of site",
            'head[] = {"-I", "-S",',
            'head[] = {"-I", "-I",',
            "native/launcher/test_environment.py::test_isolated_interpreter",
        ),
        (
            "commands that make a process are sealed",
            '    static const char *const commands[] = {"create", "run", "exec", "restore", NULL};',
            '    static const char *const commands[] = {"create", "run", "restore", NULL};',
            "native/launcher/test_seal.py::test_sealed",
        ),
        (
            "standard descriptors are open",
            '        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)',
            "        if (0)",
            "native/launcher/test_environment.py::test_closed_standard_descriptors",
        ),
        (
            "whose code runs is looked at",
            "    check_trust(&target, sealing);\n",
            "",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
    ),
    *at(
        "native/launcher/seal.c",
        (
            "the copy in memory stays executable",
            "seals | F_SEAL_EXEC) < 0 && fcntl(memory, F_ADD_SEALS, seals) < 0)",
            "seals) < 0)",
            "native/launcher/test_seal.py::test_memory_copy_cannot_become_unexecutable_or_writable",
        ),
        (
            "nothing runs unsealed",
            "    if (memory < 0)\n        fail(",
            '    if (memory < 0)\n        return (struct sealed){AT_FDCWD, target->interpreter, "memfd"};\n'
            "    if (memory < 0)\n        fail(",
            "native/launcher/test_seal.py::test_no_way_of_sealing_is_an_error",
        ),
        (
            "the interpreter is sealed",
            "        if (mount >= 0)\n            return (struct sealed){mount, ",
            '        if (mount >= 0)\n            return (struct sealed){open("/usr/bin", O_PATH | O_CLOEXEC), ',
            "security/test_executable.py::test_the_seal native/launcher/test_seal.py::test_overlay_cannot_be_written",
        ),
    ),
    *at(
        "native/launcher/trust.c",
        (
            "files that everybody may write",
            'status->st_mode & S_IWOTH   ? "is writable by everybody"',
            '0   ? "is writable by everybody"',
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
        (
            "files that a group may write",
            "status->st_mode & S_IWGRP ? why_by_group",
            "0 ? why_by_group",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
        (
            "files that an access control list opens",
            "            return by_list;\n        if (list.entries[i].tag == GROUP &&",
            "            return NULL;\n        if (list.entries[i].tag == GROUP &&",
            "native/launcher/test_trust.py::test_access_lists",
        ),
        (
            "links among the files that run are followed",
            "            check_path(next, strict_ones, links + 1);\n",
            "",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
        (
            "modules in one file are looked at",
            '    check_file(target->package, "/modules.pack", "");',
            "    ;",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
        (
            "what the interpreter reads first is looked at",
            '    check_file(prefix, "/pyvenv.cfg", "");\n    prefix[directory_length(prefix)] = 0;',
            "    prefix[directory_length(prefix)] = 0;",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
        (
            "the package encodings is looked at",
            "    check_modules(library, modules, target->digits);\n}\n\n/* What is executed",
            "}\n\n/* What is executed",
            "native/launcher/test_trust.py::test_writable_by_others",
        ),
    ),
    *at(
        "pyoci/trust.py",
        (
            "modules that everybody may write",
            "    if status.st_mode & _BY_OTHERS:",
            "    if False:",
            "test_trust.py::test_writable_by_others",
        ),
        (
            "modules that a group may write",
            '        return "is writable by a group" if _is_foreign(status.st_gid) else ""',
            '        return ""',
            "test_trust.py::test_writable_by_others",
        ),
        (
            "modules that an access control list opens",
            '            return "is writable by its access control list"',
            '            return ""',
            "test_trust.py::test_access_lists",
        ),
        (
            "links among the modules are followed",
            "                check_file(target, top and target.rpartition",
            "                str.join(target, top and target.rpartition",
            "test_trust.py::test_links_are_followed",
        ),
        (
            "what was imported before is looked at",
            "    for module in list(sys.modules.values()):",
            "    for module in ():",
            "test_trust.py::test_what_was_imported_before",
        ),
    ),
)
