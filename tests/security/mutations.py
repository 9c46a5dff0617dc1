"""The lines of defence, each with what takes it away.

tools/check_defences.py takes each away in turn and asks whether a test sees it; test_mutations.py checks that the texts still are what stands in the code.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """name: what is defended. file: of the project. old: occurs once in it; new: what stands there instead.

    tests: pytest arguments; one of these tests has to fail then.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _at(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutation, ...]:
    """Rows of name, old, new and the tests, with blanks between them, below tests/."""
    return tuple(
        Mutation(name, file, old, new, tuple(f"tests/{test}" for test in tests.split()))
        for name, old, new, tests in rows
    )


MUTATIONS = (
    *_at(
        "pyoci/kernel/path.py",
        (
            "names are looked up below the root",
            "return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve)",
            "return openat2(root, path, flags, RESOLVE_NO_MAGICLINKS | resolve)",
            "security/test_targets.py security/test_masks.py",
        ),
        (
            "magic links are refused",
            "return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve)",
            "return openat2(root, path, flags, RESOLVE_IN_ROOT | resolve)",
            "security/test_targets.py security/test_proc.py",
        ),
        (
            "what is made is made without following links",
            "child = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=walk.here())",
            "child = os.open(part, os.O_PATH | os.O_CLOEXEC, dir_fd=walk.here())",
            "security/test_targets.py security/test_dev.py",
        ),
        (
            '".." stops at the root',
            "            walk.up()\n            continue",
            '            walk.stack.append(os.open("..", _O_DIRECTORY_PATH, dir_fd=walk.here()))\n            continue',
            "security/test_targets.py security/test_cwd.py",
        ),
        (
            "a link to an absolute path begins at the root",
            "                walk.to_root()\n",
            '                walk.stack.append(os.open("/", _O_DIRECTORY_PATH))\n',
            "security/test_targets.py security/test_cwd.py",
        ),
    ),
    *_at(
        "pyoci/steps/targets.py",
        (
            "procfs and sysfs go to ordinary directories",
            "            return path.open_in_root(context.root, name, flags, path.RESOLVE_NO_SYMLINKS)\n        except",
            "            return path.open_in_root(context.root, name, flags)\n        except",
            "security/test_proc.py",
        ),
        (
            "nothing but a procfs on /proc",
            "        if not is_procfs:\n",
            "        if False:\n",
            "security/test_proc.py",
        ),
        (
            "nothing inside /proc",
            "    if inside and name not in REPLACEABLE_IN_PROC:",
            "    if False:",
            "security/test_proc.py",
        ),
        (
            "no mount on the root",
            '    if name == "/":\n',
            "    if False:\n",
            "security/test_targets.py steps/test_targets.py",
        ),
    ),
    *_at(
        "pyoci/steps/process.py",
        (
            "the working directory lies inside",
            "        if self.final and not _inside():",
            "        if False:",
            "security/test_cwd.py",
        ),
        (
            "a FIFO as /etc/passwd",
            'os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK |',
            'os.open("/etc/passwd", os.O_RDONLY |',
            "security/test_passwd.py",
        ),
        (
            "a huge /etc/passwd",
            "if not stat.S_ISREG(status.st_mode) or status.st_size > _PASSWD_LIMIT:",
            "if not stat.S_ISREG(status.st_mode):",
            "security/test_passwd.py",
        ),
        (
            "a device as /etc/passwd",
            "if not stat.S_ISREG(status.st_mode) or status.st_size > _PASSWD_LIMIT:",
            "if status.st_size > _PASSWD_LIMIT:",
            "security/test_passwd.py",
        ),
        (
            "long lines of /etc/passwd",
            "if total > _PASSWD_LIMIT or any(len(line) > _LINE_LIMIT for line in (rest, *lines)):",
            "if total > _PASSWD_LIMIT:",
            "security/test_passwd.py",
        ),
    ),
    *_at(
        "pyoci/steps/rootfs.py",
        (
            "the working directory is made",
            "            os.close(path.ensure(context.root, self.path",
            "            raise OSError(EACCES, 'never')\n            os.close(path.ensure(context.root, self.path",
            "security/test_cwd.py",
        ),
        (
            "the root file system has no link in its name",
            "flags, resolve = os.O_PATH | os.O_DIRECTORY, path.RESOLVE_NO_SYMLINKS",
            "flags, resolve = os.O_PATH | os.O_DIRECTORY, 0",
            "security steps/test_rootfs.py",
        ),
        (
            "the new mount namespace is cut off",
            "mount.set_attributes(root, propagation=kind, recursive=bool(self.propagation & MS_REC))",
            "pass",
            "security/test_propagation.py",
        ),
        (
            "the host's root is dropped",
            '            mount.unmount(b".")\n        finally',
            "        finally",
            "security/test_descriptors.py steps/test_rootfs.py",
        ),
        (
            "read-only is read-only",
            "            mount.set_attributes(target, set=MOUNT_ATTR_RDONLY)",
            "            pass",
            "security/test_read_only.py",
        ),
        (
            "the null device is a character device",
            "return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)",
            "return status.st_rdev == os.makedev(1, 3)",
            "security/test_masks.py",
        ),
        (
            "the null device has its number",
            "return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)",
            "return stat.S_ISCHR(status.st_mode)",
            "security/test_masks.py",
        ),
    ),
    *_at(
        "pyoci/steps/paths.py",
        (
            "masks are made of the null device",
            "            if not is_null(os.fstat(null)):",
            "            if False:",
            "security/test_masks.py",
        ),
        (
            "a mask on the root is refused",
            "                if _is_root(context, target, status):",
            "                if False:",
            "security steps/test_paths.py",
        ),
        (
            "directories are masked",
            "                self._cover_directory(context, target)\n            else",
            "                pass\n            else",
            "security/test_masks.py security/test_read_only.py",
        ),
        (
            "a path is made read-only",
            "            mount.set_attributes(tree, set=MOUNT_ATTR_RDONLY)",
            "            pass",
            "security/test_read_only.py",
        ),
    ),
    *_at(
        "pyoci/steps/devices.py",
        (
            "links of /dev are made",
            "        directory, name = parent(context, self.path)\n",
            "        return\n        directory, name = parent(context, self.path)\n",
            "security/test_dev.py",
        ),
        (
            "a device that somebody else made",
            'if stat.S_IFMT(status.st_mode) != _KINDS[one.type] or (one.type != "p" and status.st_rdev != number):',
            "if False:",
            "security steps/test_devices.py",
        ),
        (
            "the host's device of the name is the one that is meant",
            "        if (kind, major, minor) == (_KINDS[one.type], one.major, one.minor):",
            "        if True:",
            "security steps/test_devices.py",
        ),
        (
            "bound devices have no setuid and no programs",
            "                mount.set_attributes(tree, set=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)",
            "                pass",
            "security steps/test_devices.py",
        ),
    ),
    *_at(
        "pyoci/steps/terminal.py",
        (
            "the multiplexer is devpts's own",
            "            if not real or filesystem_type(found) != _DEVPTS_MAGIC:",
            "            if False:",
            "security/test_terminal.py",
        ),
        (
            "/dev/console is no link",
            "        if stat.S_ISLNK(os.fstat(target).st_mode):",
            "        if False:",
            "security/test_terminal.py",
        ),
        (
            "/dev/console is bound without following links",
            'target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)',
            'target = os.open("console", os.O_PATH | os.O_CLOEXEC, dir_fd=directory)',
            "security/test_terminal.py",
        ),
    ),
    *_at(
        "pyoci/steps/identity.py",
        (
            "the caller's groups are dropped",
            "            os.setgroups(list(self.groups))",
            "            pass",
            "security/test_ids.py steps/test_identity.py",
        ),
        (
            "the process stays undumpable",
            "        process.set_dumpable(False)\n",
            "        pass\n",
            "security",
        ),
        (
            "no new privileges",
            "        process.set_no_new_privileges()",
            "        pass",
            "security steps/test_identity.py",
        ),
        (
            "the bounding set",
            "        capability.limit_bounding(self.capabilities)",
            "        pass",
            "security steps/test_identity.py",
        ),
    ),
    *_at(
        "pyoci/kernel/procfs.py",
        (
            "a procfs that is mounted is one",
            "    if not root_is_procfs(descriptor):",
            "    if False:",
            "security/test_proc.py kernel/test_procfs.py",
        ),
    ),
)
