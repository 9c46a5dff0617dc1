/* Refuses to run files that others may write, as sshd's StrictModes does: who can write the interpreter, the
 * package or a directory above them would run code as root at the next `pyoci`.
 *
 * Here is looked at what runs before the first line of ours does: this program, the interpreter and its libpython, what
 * it reads before it knows any program (pyvenv.cfg, the package encodings), pyoci's first file and its other modules in
 * one. Everything that is imported from a file of its own later is looked at when it is found (pyoci/pack.py), so that a
 * start costs some fifty lstat(2) and not thousands. What the dynamic loader adds, the C library above all, comes from
 * the directories that every program of the system gets it from.
 *
 * Strict for the files, their directories, the standard library, the package, the directories that hold the two. A
 * directory further up may be sticky and writable, like /var/tmp: there only the owner can replace an entry. Symbolic
 * links are followed one by one: the directory that holds a link decides as much as the one that it leads to.
 * A foreign owner is a warning, given by the commands that make containers.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MOST_LINKS = 40 }; /* as the kernel, path_resolution(7) */

static bool warning;
static const char *looked_at[4]; /* paths above which nothing is new */

/* In a user namespace without a mapping for the host's root, root's files show up as the overflow user's. */
static bool root_is_unmapped(void) {
    char map[256] = "";
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, map, sizeof map - 1);
    if (fd >= 0)
        close(fd);
    return length > 0 && !strstr(map, "4294967295");
}

static bool is_foreign_group(gid_t group) {
    return group != 0 && !(geteuid() != 0 && group == getegid());
}

/* acl(5): with an access control list the group bits of the mode are its mask, the most that its entries can give.
 * So without a group bit no entry gives anything, and with one the entries must be read (linux/posix_acl_xattr.h). */
static const char *why_by_group(const char *path, gid_t group) {
    static const char *const by_group = "is writable by a group", *const by_list = "is writable by its access control list";
    struct {
        uint32_t version;
        struct {
            uint16_t tag, permissions;
            uint32_t id;
        } entries[1024];
    } list;
    enum { USER = 0x02, GROUP_OBJ = 0x04, GROUP = 0x08, WRITE = 2 };
    ssize_t size = lgetxattr(path, "system.posix_acl_access", &list, sizeof list);
    if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP || errno == ENOSYS))
        return is_foreign_group(group) ? by_group : NULL;
    if (size < (ssize_t)sizeof list.version)
        return by_list; /* more than can be read */
    size_t count = ((size_t)size - sizeof list.version) / sizeof *list.entries;
    for (size_t i = 0; i < count; i++) {
        if (!(list.entries[i].permissions & WRITE))
            continue;
        uint32_t id = list.entries[i].id;
        if (list.entries[i].tag == USER && id != 0 && id != geteuid())
            return by_list;
        if (list.entries[i].tag == GROUP && is_foreign_group(id))
            return by_list;
        if (list.entries[i].tag == GROUP_OBJ && is_foreign_group(group))
            return by_group;
    }
    return NULL;
}

static void check_status(const char *path, const struct stat *status, bool strict) {
    bool sticky = S_ISDIR(status->st_mode) && status->st_mode & S_ISVTX;
    if (!S_ISLNK(status->st_mode) && (strict || !sticky)) { /* the mode of a link means nothing */
        const char *why = status->st_mode & S_IWOTH   ? "is writable by everybody"
                          : status->st_mode & S_IWGRP ? why_by_group(path, status->st_gid)
                                                      : NULL;
        if (why)
            refuse(path, why);
    }
    uid_t owner = status->st_uid;
    if (warning && owner != 0 && owner != geteuid() && !(owner == 65534 && root_is_unmapped()))
        say("warning: ", path, " belongs to neither root nor the caller", "");
}

/* Is it a directory above a path that has been looked at, further up than those which must not be writable at all? */
static bool is_known(const char *directory) {
    size_t length = strlen(directory);
    for (size_t i = 0; i < sizeof looked_at / sizeof *looked_at && looked_at[i]; i++)
        if (!strncmp(looked_at[i], directory, length) && (looked_at[i][length] == '/' || length == 1))
            return true;
    return false;
}

/* The file PATH, the directories above it, and whatever a link among them leads to. The file and STRICT_ONES of the
 * directories must not be writable at all. */
static void check_path(const char *path, int strict_ones, int links) {
    char here[PATH_MAX], content[PATH_MAX], next[PATH_MAX];
    struct stat status;
    for (strcpy(here, path);; strict_ones--) {
        if (strict_ones < 0 && is_known(here))
            return;
        if (lstat(here, &status) < 0)
            fail("cannot stat ", here, errno);
        check_status(here, &status, strict_ones >= 0);
        size_t length = directory_length(here);
        if (S_ISLNK(status.st_mode)) {
            ssize_t size = readlink(here, content, sizeof content - 1);
            if (size < 0 || links == MOST_LINKS)
                fail("cannot read the link ", here, size < 0 ? errno : ELOOP);
            content[size] = 0;
            here[length] = 0;
            if (content[0] == '/')
                strcpy(next, content);
            else
                join(next, here, "/", content);
            check_path(next, strict_ones, links + 1);
        }
        if (!here[1])
            return;
        here[length ? length : 1] = 0;
    }
}

/* DIRECTORY + A + B alone, if it is there: what is above it has been looked at. */
static bool check_file(const char *directory, const char *a, const char *b) {
    char path[PATH_MAX];
    struct stat status;
    join(path, directory, a, b);
    if (lstat(path, &status) < 0)
        return false;
    if (S_ISLNK(status.st_mode))
        check_path(path, 1, 0);
    else
        check_status(path, &status, true);
    return true;
}

static void check_named(const char *directory, const char *a, const char *b, const char *c) {
    char name[64];
    if (strlen(a) + strlen(b) + strlen(c) < sizeof name) {
        stpcpy(stpcpy(stpcpy(name, a), b), c);
        check_file(directory, name, "");
    }
}

/* DIRECTORY, the modules NAMES in it, up to NULL, and what is compiled of them. */
static void check_modules(const char *directory, const char *const *names, const char *digits) {
    char tag[32];
    check_file(directory, "", "");
    check_file(directory, "/__pycache__", "");
    for (; *names; names++) {
        check_named(directory, "/", *names, ".py");
        stpcpy(stpcpy(stpcpy(tag, ".cpython-"), digits), ".pyc");
        check_named(directory, "/__pycache__/", *names, tag);
    }
}

/* What the interpreter loads before its first line of a program: frozen into it is everything but three modules. */
static void check_library(const char *directory, const struct target *target) {
    static const char *const modules[] = {"__init__", "aliases", "utf_8", NULL};
    const char *version = target->interpreter + directory_length(target->interpreter); /* "/python3.11" */
    char library[PATH_MAX];
    check_named(directory, "/lib", version + 1, ".so.1.0");
    if (!check_file(directory, version, ""))
        return;
    check_file(directory, "", ""); /* what is above that is above the interpreter, too */
    check_named(directory, "/python", target->digits, ".zip");
    join(library, directory, version, "/encodings");
    check_modules(library, modules, target->digits);
}

/* What is executed first, and the modules that look at the others: those are imported from their own files where
 * modules.pack is missing, cut short or made for another interpreter, and only then, which is not known here. */
static void check_main(const struct target *target) {
    static const char *const modules[] = {"__init__", "errors", "pack", "trust", NULL};
    check_file(target->main, "", "");
    check_modules(target->package, modules, target->digits);
}

void check_trust(const struct target *target, bool warn) {
    char prefix[PATH_MAX], directory[PATH_MAX];
    warning = warn;
    check_path(target->launcher, 1, 0);
    looked_at[0] = target->launcher;
    check_path(target->interpreter_name, 1, 0);
    looked_at[1] = target->interpreter;
    check_path(target->package_name, 1, 0);
    looked_at[2] = target->package;
    check_main(target);
    check_file(target->package, "/modules.pack", ""); /* all other modules in one file, if it was made */

    strcpy(prefix, target->interpreter);
    prefix[directory_length(prefix)] = 0;
    check_file(prefix, "/pyvenv.cfg", "");
    prefix[directory_length(prefix)] = 0;
    check_file(prefix, "/pyvenv.cfg", "");
    if (!target->digits[0])
        return; /* an interpreter without a version in its name: pyoci/pack.py looks at what it has loaded */
    join(directory, prefix, "/lib", "");
    check_library(directory, target);
    join(directory, prefix, "/lib64", "");
    check_library(directory, target);
}
