"""Names below the container's root, mounts, masks, devices, the terminal, what is read of the image."""

from __future__ import annotations

from tests.security.mutations.mutation import at, together

_IN_ROOT = "return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve)"

MUTATIONS = (
    *at(
        "pyoci/kernel/path.py",
        (
            "names are looked up below the root",
            _IN_ROOT,
            "return openat2(root, path, flags, RESOLVE_NO_MAGICLINKS | resolve)",
            "security/test_targets.py::test_a_destination_that_leads_up",
        ),
        (
            # RESOLVE_IN_ROOT alone refuses them as well, as the kernel is today (openat2(2)).
            "magic links are refused, by both flags that do so",
            _IN_ROOT,
            "return openat2(root, path, flags, resolve)",
            "kernel/test_path.py::test_magic_links_are_refused",
        ),
        (
            "what is made is made without following links",
            "child = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=walk.here())",
            "child = os.open(part, os.O_PATH | os.O_CLOEXEC, dir_fd=walk.here())",
            "security/test_targets.py::test_a_link_in_the_root",
        ),
        (
            '".." stops at the root',
            "            walk.up()\n            continue",
            '            walk.stack.append(os.open("..", _O_DIRECTORY_PATH, dir_fd=walk.here()))\n            continue',
            "security/test_targets.py::test_a_destination_that_leads_up",
        ),
        (
            "a link to an absolute path begins at the root",
            "                walk.to_root()\n",
            '                walk.stack.append(os.open("/", _O_DIRECTORY_PATH))\n',
            "security/test_targets.py::test_a_link_in_the_root",
        ),
    ),
    *at(
        "pyoci/steps/init/targets.py",
        (
            "procfs and sysfs go to ordinary directories",
            "            return path.open_in_root(context.root, name, flags, RESOLVE_NO_SYMLINKS)\n        except",
            "            return path.open_in_root(context.root, name, flags)\n        except",
            "security/test_proc.py::test_a_link_on_the_way_to_a_kernel_filesystem",
        ),
        (
            "nothing but a procfs on /proc",
            "        if not is_procfs:\n",
            "        if False:\n",
            "security/test_proc.py::test_something_else_on_proc",
        ),
        (
            "nothing inside /proc",
            "    if inside and name not in REPLACEABLE_IN_PROC:",
            "    if False:",
            "security/test_proc.py::test_something_inside_proc",
        ),
        (
            "/proc by another name is /proc",
            'name.startswith("/proc/") or filesystem_type(target) == PROC_SUPER_MAGIC',
            'name.startswith("/proc/")',
            "steps/init/test_targets.py::test_below_proc_by_another_name",
        ),
        (
            "/proc without a procfs is /proc",
            'name.startswith("/proc/") or filesystem_type(target) == PROC_SUPER_MAGIC',
            "filesystem_type(target) == PROC_SUPER_MAGIC",
            "steps/init/test_targets.py::test_below_proc_without_a_procfs",
        ),
        (
            "no mount on the root",
            '    if name == "/":\n',
            "    if False:\n",
            "steps/init/test_targets.py::test_nothing_goes_on_the_root",
        ),
    ),
    *at(
        "pyoci/steps/init/process.py",
        (
            "the working directory lies inside",
            "        if self.final and not path.is_below_root():",
            "        if False:",
            "security/test_exec.py::test_a_working_directory_in_another_mount_namespace",
        ),
        (
            "a FIFO as /etc/passwd",
            'os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK |',
            'os.open("/etc/passwd", os.O_RDONLY |',
            "security/test_passwd.py::test_bomb",
        ),
        (
            "a huge /etc/passwd",
            "if not stat.S_ISREG(status.st_mode) or status.st_size > _PASSWD_LIMIT:",
            "if not stat.S_ISREG(status.st_mode):",
            "security/test_passwd.py::test_bomb",
        ),
        (
            "a device as /etc/passwd",
            "if not stat.S_ISREG(status.st_mode) or status.st_size > _PASSWD_LIMIT:",
            "if status.st_size > _PASSWD_LIMIT:",
            "security/test_passwd.py::test_what_is_no_file_is_not_read",
        ),
        (
            "long lines of /etc/passwd",
            "if total > _PASSWD_LIMIT or any(len(line) > _LINE_LIMIT for line in (rest, *lines)):",
            "if total > _PASSWD_LIMIT:",
            "security/test_passwd.py::test_bomb",
        ),
    ),
    *at(
        "pyoci/steps/init/rootfs.py",
        (
            "the working directory is made",
            "            os.close(path.ensure(context.root, self.path",
            "            raise OSError(EACCES, 'never')\n            os.close(path.ensure(context.root, self.path",
            "security/test_cwd.py::test_through_links",
        ),
        (
            "the root file system has no link in its name",
            "flags, resolve = os.O_PATH | os.O_DIRECTORY, RESOLVE_NO_SYMLINKS",
            "flags, resolve = os.O_PATH | os.O_DIRECTORY, 0",
            "steps/init/test_rootfs.py::test_a_link_above_the_root",
        ),
        (
            "the new mount namespace is cut off",
            "            mount.set_attributes(root, propagation=kind, recursive=bool(self.propagation & MS_REC))",
            "            pass",
            "security/test_propagation.py::test_nothing_of_a_container_reaches_the_host",
        ),
        (
            "the host's root is dropped",
            '            mount.unmount(b".")\n        finally',
            "        finally",
            "steps/init/test_rootfs.py::test_pivot_leaves_nothing_of_the_host",
        ),
        (
            "without pivot_root(2) no full procfs stays behind",
            'if one.kind in ("proc", "sysfs") and not (point + "/").startswith(inside):',
            "if False:",
            "steps/init/test_move_root.py::test_no_new_procfs_after_a_move",
        ),
        (
            "the process that waits has a procfs of processes only",
            'open_private("subset=pid")',
            "open_private()",
            "security/test_descriptors.py::test_the_process_that_waits",
        ),
        (
            "read-only is read-only",
            "            mount.set_attributes(target, set=MOUNT_ATTR_RDONLY)",
            "            pass",
            "security/test_read_only.py::test_read_only",
        ),
        (
            "streams become the container's null device only if that is one",
            "            if not is_null(os.fstat(found)):\n                return",
            "            if False:\n                return",
            "steps/init/test_rootfs.py::test_what_is_no_null_device_is_not_used",
        ),
        (
            "the null device is a character device",
            "return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)",
            "return status.st_rdev == os.makedev(1, 3)",
            "security/test_masks.py::test_a_trap_in_place_of_the_null_device",
        ),
        (
            "the null device has its number",
            "return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)",
            "return stat.S_ISCHR(status.st_mode)",
            "security/test_masks.py::test_a_trap_in_place_of_the_null_device",
        ),
    ),
    *at(
        "pyoci/steps/init/paths.py",
        (
            "masks are made of the null device",
            "            if not is_null(os.fstat(null)):",
            "            if False:",
            "security/test_masks.py::test_a_trap_in_place_of_the_null_device",
        ),
        (
            "a mask on the root is refused",
            "                if _is_root(context, target, status):",
            "                if False:",
            "steps/init/test_paths.py::test_the_root_itself",
        ),
        (
            "directories are masked",
            "                self._cover_directory(context, target)\n            else",
            "                pass\n            else",
            "steps/init/test_paths.py::test_a_directory_becomes_empty_and_stays_so",
        ),
        (
            "a path is made read-only",
            "            mount.set_attributes(tree, set=MOUNT_ATTR_RDONLY)",
            "            pass",
            "security/test_read_only.py::test_read_only",
        ),
    ),
    together(
        "the mask of a directory stays empty",
        "security/test_read_only.py::test_read_only",
        (
            "pyoci/steps/init/paths.py",
            "attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID",
            "attributes = MOUNT_ATTR_NOSUID",
        ),
        ("pyoci/steps/init/paths.py", '*label), ("ro",), attributes)', "*label), (), attributes)"),
    ),
    *at(
        "pyoci/steps/init/devices.py",
        (
            "links of /dev are made",
            "        directory, name = parent(context, self.path)\n",
            "        return\n        directory, name = parent(context, self.path)\n",
            "steps/init/test_devices.py::test_links",
        ),
        (
            "a device that somebody else made",
            'if stat.S_IFMT(status.st_mode) != _KINDS[one.type] or (one.type != "p" and status.st_rdev != number):',
            "if False:",
            "steps/init/test_devices.py::test_a_name_that_is_swapped_right_after_the_node_was_made",
        ),
        (
            "the host's device of the name is the one that is meant",
            "        if (kind, major, minor) == (_KINDS[one.type], one.major, one.minor):",
            "        if True:",
            "steps/init/test_devices.py::test_a_host_device_that_is_another_one",
        ),
        (
            "bound devices have no setuid and no programs",
            "                mount.set_attributes(tree, set=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)",
            "                pass",
            "steps/init/test_devices.py::test_in_a_user_namespace_the_hosts_node_is_bound",
        ),
        (
            "a device is bound without following links",
            "_O_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC",
            "_O_LINK = os.O_PATH | os.O_CLOEXEC",
            "steps/init/test_devices.py::test_binding_does_not_follow_a_link_of_the_image",
        ),
    ),
    *at(
        "pyoci/steps/init/terminal.py",
        (
            "the multiplexer is devpts's own",
            "            if not real or filesystem_type(found) != DEVPTS_SUPER_MAGIC:",
            "            if False:",
            "security/test_terminal.py::test_a_trap_in_place_of_the_multiplexer",
        ),
        (
            "/dev/console is no link",
            "        if stat.S_ISLNK(os.fstat(target).st_mode):",
            "        if False:",
            "security/test_terminal.py::test_a_trap_in_place_of_the_console",
        ),
        (
            "/dev/console is bound without following links",
            'target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)',
            'target = os.open("console", os.O_PATH | os.O_CLOEXEC, dir_fd=directory)',
            "security/test_terminal.py::test_a_trap_in_place_of_the_console",
        ),
    ),
    *at(
        "pyoci/kernel/procfs.py",
        (
            "a procfs that is mounted is one",
            "    if not root_is_procfs(descriptor):",
            "    if False:",
            "kernel/test_procfs.py::test_refused_and_covered_is_an_error",
        ),
        (
            "a procfs is known by its root",
            " and os.fstat(descriptor).st_ino == _PROC_ROOT_INODE",
            "",
            "kernel/test_procfs.py::test_root_is_procfs",
        ),
        (
            "a procfs of our own before the mounted one",
            '        return mount.new_filesystem("proc", "proc", options)',
            "        raise OSError(EPERM, 'never')",
            "kernel/test_procfs.py::test_what_covers_proc_does_not_matter",
        ),
        (
            "nothing mounted over a file of procfs is written",
            "RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV",
            "RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS",
            "kernel/test_procfs.py::test_write_refuses_what_is_mounted_over_the_file",
        ),
        (
            "what is written is a file of procfs",
            "        if filesystem_type(descriptor) != PROC_SUPER_MAGIC:",
            "        if False:",
            "kernel/test_procfs.py::test_write_refuses_what_is_not_procfs",
        ),
    ),
    *at(
        "pyoci/steps/init/copyup.py",
        (
            "tmpcopyup does not follow links",
            "found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=pair.source)",
            "found = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=pair.source)",
            "steps/init/test_copyup.py::test_links_are_not_followed",
        ),
        (
            "tmpcopyup opens what it has looked at, by descriptor",
            "        return _copy_one(found, pair.target, name, proc)",
            "        again = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=pair.source)\n"
            "        if os.path.samestat(os.fstat(found), os.fstat(again)):\n"
            "            return _copy_one(found, pair.target, name, proc)\n"
            "        _copy_file(again, pair.target, name, os.fstat(found), proc)\n"
            "        return None",
            "steps/init/test_copyup.py::test_files_that_are_exchanged_meanwhile",
        ),
    ),
)
