/* Refuses to run files that others may write, as sshd's StrictModes does: who can write the interpreter, the
 * package or a directory above them would run code as root at the next `pyoci`.
 *
 * Strict for the interpreter, its directory, its standard library, the package, the directories that hold the two.
 * A directory further up may be sticky and writable, like /var/tmp: there only the owner can replace an entry.
 * A foreign owner is a warning, given by the commands that make containers.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum strictness { STRICT, STICKY_ALLOWED };

/* In a user namespace without a mapping for the host's root, root's files show up as the overflow user's. */
static bool root_is_unmapped(void) {
    char map[256] = "";
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, map, sizeof map - 1);
    if (fd >= 0)
        close(fd);
    return length > 0 && !strstr(map, "4294967295");
}

static void check_one(const char *path, enum strictness strictness, bool warn) {
    struct stat status;
    if (stat(path, &status) < 0)
        fail("cannot stat ", path, errno);
    bool group = status.st_mode & S_IWGRP && status.st_gid != 0 && !(geteuid() != 0 && status.st_gid == getegid());
    bool others = status.st_mode & S_IWOTH;
    bool sticky = S_ISDIR(status.st_mode) && status.st_mode & S_ISVTX;
    if ((group || others) && !(sticky && strictness == STICKY_ALLOWED))
        refuse(path, others ? "is writable by everybody" : "is writable by a group");
    if (warn && status.st_uid != 0 && status.st_uid != geteuid() && !(status.st_uid == 65534 && root_is_unmapped()))
        say("warning: ", path, " belongs to neither root nor the caller", "");
}

/* The directories above PATH, from its own one up; the first STRICT_ONES of them must not be writable at all. */
static void check_parents(const char *path, int strict_ones, bool warn) {
    char directory[PATH_MAX];
    strcpy(directory, path);
    while (directory[1]) {
        size_t length = directory_length(directory);
        directory[length ? length : 1] = 0;
        check_one(directory, strict_ones-- > 0 ? STRICT : STICKY_ALLOWED, warn);
    }
}

void check_trust(const struct target *target, bool warn) {
    check_one(target->interpreter, STRICT, warn);
    check_parents(target->interpreter, 1, warn);
    check_one(target->main, STRICT, warn);
    check_parents(target->main, 2, warn);

    char pack[PATH_MAX], library[PATH_MAX], prefix[PATH_MAX];
    join(pack, target->package, "/modules.pack", ""); /* all other modules in one file, if it was made */
    if (access(pack, F_OK) == 0)
        check_one(pack, STRICT, warn);
    strcpy(prefix, target->interpreter);
    prefix[directory_length(prefix)] = 0;
    prefix[directory_length(prefix)] = 0;
    join(library, prefix, "/lib", target->interpreter + directory_length(target->interpreter));
    if (access(library, F_OK) == 0) {
        check_one(library, STRICT, warn);
        library[directory_length(library)] = 0; /* what is above that is above the interpreter, too */
        check_one(library, STRICT, warn);
    }
}
