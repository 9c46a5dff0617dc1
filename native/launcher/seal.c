/* Seals the interpreter: the container's process has it as /proc/self/exe and must not be able to write it back to
 * the host (CVE-2019-5736: overwrite the runtime through /proc/PID/exe).
 *
 * 1. A detached read-only overlay: the file is opened below a mount that is attached nowhere and has no upper layer,
 *    so that no write reaches the host's file and nothing shows in anybody's mountinfo. No copy: about 0.1 ms.
 * 2. A sealed copy in memory (memfd_create(2), fcntl(2) F_ADD_SEALS), where mounting is not allowed: 4.7 ms.
 *
 * An overlay without an upper layer needs two lower ones. The second may be any directory, because the first wins:
 * the package's own is taken, which always exists. (A detached tmpfs works from Linux 6.15 on only: before that the
 * overlay filesystem refuses a layer outside the caller's mount namespace.)
 *
 * The decision: docs/decisions/sealed-interpreter.md.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* Linux 6.3 */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20 /* Linux 6.3 */
#endif
#ifndef ONLY_MEMFD
#define ONLY_MEMFD 0 /* build option seal=memfd: no page of the container is shared with the host's file */
#endif

static int configure(int context, unsigned command, const char *key, const char *value) {
    return (int)syscall(SYS_fsconfig, context, command, key, value, 0);
}

/* "/proc/self/fd/N" for the two layers: no escaping of colons and commas, no second look at the name. */
static void layers(char out[64], int first, int second) {
    char *end = out;
    int fds[] = {first, second};
    for (int i = 0; i < 2; i++) {
        end = stpcpy(end, i ? ":/proc/self/fd/" : "/proc/self/fd/");
        char digits[12];
        int count = 0;
        for (int rest = fds[i]; rest || !count; rest /= 10)
            digits[count++] = (char)('0' + rest % 10);
        while (count)
            *end++ = digits[--count];
    }
    *end = 0;
}

/* A detached mount of the overlay, or -1 with errno. */
static int mount_overlay(int directory, int package) {
    int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0)
        return -1;
    char lower[64];
    layers(lower, directory, package);
    int mount = -1;
    if (!configure(context, FSCONFIG_SET_STRING, "source", "pyoci") &&
        !configure(context, FSCONFIG_SET_STRING, "lowerdir", lower) &&
        !configure(context, FSCONFIG_CMD_CREATE, NULL, NULL))
        mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                             MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID);
    int error = errno;
    close(context);
    errno = error;
    return mount;
}

static int open_overlay(const struct target *target) {
    char path[PATH_MAX];
    strcpy(path, target->interpreter);
    size_t length = directory_length(path);
    path[length ? length : 1] = 0;
    int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int package = open(target->package, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int mount = directory < 0 || package < 0 ? -1 : mount_overlay(directory, package);
    int error = errno;
    close(directory);
    close(package);
    errno = error;
    return mount;
}

/* The whole of SOURCE into MEMORY; false with errno when it does not fit or is cut short. */
static bool copy(int source, int memory) {
    struct stat status;
    if (fstat(source, &status) < 0)
        return false;
    for (off_t left = status.st_size; left > 0;) {
        ssize_t count = sendfile(memory, source, NULL, (size_t)left);
        if (count < 0)
            return false;
        if (count == 0) {
            errno = EIO;
            return false;
        }
        left -= count;
    }
    return true;
}

/* Every seal; F_SEAL_EXEC (nobody makes it writable by chmod) where the kernel knows it. Checked by reading back. */
static bool add_seals(int memory) {
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (fcntl(memory, F_ADD_SEALS, seals | F_SEAL_EXEC) < 0 && fcntl(memory, F_ADD_SEALS, seals) < 0)
        return false;
    int now = fcntl(memory, F_GET_SEALS);
    errno = EPERM;
    return now >= 0 && (now & seals) == seals;
}

static int open_memfd(const char *interpreter) {
    int source = open(interpreter, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return -1;
    int memory = memfd_create("pyoci", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (memory < 0 && errno == EINVAL) /* before Linux 6.3 every memfd is executable */
        memory = memfd_create("pyoci", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool done = memory >= 0 && copy(source, memory) && fchmod(memory, 0511) == 0 && add_seals(memory);
    int error = errno;
    close(source);
    if (!done && memory >= 0)
        close(memory);
    errno = error;
    return done ? memory : -1;
}

struct sealed seal_interpreter(const struct target *target) {
    if (!ONLY_MEMFD) {
        int mount = open_overlay(target);
        if (mount >= 0)
            return (struct sealed){mount, target->interpreter + directory_length(target->interpreter) + 1, "overlay"};
    }
    int memory = open_memfd(target->interpreter);
    if (memory < 0)
        fail("cannot seal the interpreter, refusing to run unsealed: memory copy of ", target->interpreter, errno);
    return (struct sealed){memory, "", "memfd"};
}
