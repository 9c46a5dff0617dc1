/* hostile ACTION...: a first process that does what it can to be taken for something else. It carries the actions out in
 * their order, and then waits to be killed. The first that fails is told ("cannot ACTION: errno N"), and it ends with 1.
 *
 *   say                  "attacked", on standard output; what comes later may keep it from saying anything
 *   unshare=KIND[,KIND]  leave namespaces for new ones, all at once: user, mnt, net, ipc, uts, cgroup, time
 *   children=pid         unshare(CLONE_NEWPID): not its own, but that of its children
 *   recycle=KIND         leave its namespace KIND until the new one has the inode number that it began with
 *   identity             write its own uid and gid maps: 0 in the user namespace that it has made
 *   name=HEX             prctl(PR_SET_NAME), bytes in hexadecimal
 *   leader               end the main thread, so that what is left of the process looks like a zombie
 *   chroot=PATH          change its root
 *   mkdir=PATH           make a directory, which may be there already
 *   write=PATH:TEXT      write to a file, in one write(2)
 *   mount=PATH           an empty tmpfs over a directory
 *   keyring=HEX          give its session keyring these permissions (keyctl_setperm(3)); 0 revokes it
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const struct {
    const char *name;
    int flag;
} kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},         {"net", CLONE_NEWNET},   {"ipc", CLONE_NEWIPC},
             {"uts", CLONE_NEWUTS},   {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME}, {"pid", CLONE_NEWPID}};

static int flags_of(char *list) {
    int flags = 0;
    for (char *one = strtok(list, ","); one != NULL; one = strtok(NULL, ","))
        for (unsigned number = 0; number < sizeof kinds / sizeof *kinds; number++)
            if (strcmp(one, kinds[number].name) == 0)
                flags |= kinds[number].flag;
    return flags;
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t written = write(file, text, strlen(text));
    close(file);
    return written < 0 ? -1 : 0;
}

static unsigned long inode(const char *kind) {
    struct stat status;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    return stat(path, &status) < 0 ? 0 : status.st_ino;
}

static unsigned long began[sizeof kinds / sizeof *kinds];

static int recycle(char *kind) {
    unsigned long first = 0;
    char copy[16];
    for (unsigned number = 0; number < sizeof kinds / sizeof *kinds; number++)
        if (strcmp(kind, kinds[number].name) == 0)
            first = began[number];
    for (int attempt = 0; attempt < 50; attempt++) {
        snprintf(copy, sizeof copy, "%s", kind);
        if (unshare(flags_of(copy)) < 0)
            return -1;
        if (inode(kind) == first)
            return 0;
        usleep(10000); /* some kinds are freed a moment later */
    }
    errno = ENOENT;
    return -1;
}

static int identity(uid_t uid, gid_t gid) {
    char text[64];
    put("/proc/self/setgroups", "deny");
    snprintf(text, sizeof text, "0 %u 1", gid);
    if (put("/proc/self/gid_map", text) < 0)
        return -1;
    snprintf(text, sizeof text, "0 %u 1", uid);
    return put("/proc/self/uid_map", text);
}

static int name(const char *hex) {
    char bytes[16] = "", digits[3] = "";
    for (int length = 0; length < 15 && hex[0] && hex[1]; length++, hex += 2) {
        memcpy(digits, hex, 2);
        bytes[length] = (char)strtol(digits, NULL, 16);
    }
    return prctl(PR_SET_NAME, bytes);
}

static int keyring(unsigned permissions) {
    if (permissions == 0)
        return (int)syscall(SYS_keyctl, KEYCTL_REVOKE, KEY_SPEC_SESSION_KEYRING);
    return (int)syscall(SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, permissions);
}

static void *wait_for_ever(void *unused) {
    for (;;)
        pause();
    return unused;
}

static int end_leader(void) {
    pthread_t other;
    if (pthread_create(&other, NULL, wait_for_ever, NULL) != 0)
        return -1;
    syscall(SYS_exit, 0); /* this thread only */
    return -1;
}

static int carry_out(char *action, uid_t uid, gid_t gid) {
    char *value = strchr(action, '='), *text;
    if (value != NULL)
        *value++ = '\0';
    if (strcmp(action, "say") == 0)
        return puts("attacked") < 0 || fflush(stdout) ? -1 : 0;
    if (strcmp(action, "identity") == 0)
        return identity(uid, gid);
    if (strcmp(action, "leader") == 0)
        return end_leader();
    if (value == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (strcmp(action, "unshare") == 0 || strcmp(action, "children") == 0)
        return unshare(flags_of(value));
    if (strcmp(action, "recycle") == 0)
        return recycle(value);
    if (strcmp(action, "name") == 0)
        return name(value);
    if (strcmp(action, "chroot") == 0)
        return chroot(value) < 0 ? -1 : chdir("/");
    if (strcmp(action, "mkdir") == 0)
        return mkdir(value, 0755) < 0 && errno != EEXIST ? -1 : 0;
    if (strcmp(action, "mount") == 0)
        return mount("none", value, "tmpfs", 0, NULL);
    if (strcmp(action, "keyring") == 0)
        return keyring((unsigned)strtoul(value, NULL, 16));
    if (strcmp(action, "write") == 0 && (text = strchr(value, ':')) != NULL) {
        *text++ = '\0';
        return put(value, text);
    }
    errno = EINVAL;
    return -1;
}

int main(int argc, char **argv) {
    uid_t uid = getuid();
    gid_t gid = getgid();
    for (unsigned number = 0; number < sizeof kinds / sizeof *kinds; number++)
        began[number] = inode(kinds[number].name);
    for (int number = 1; number < argc; number++) {
        char *action = strdup(argv[number]);
        if (carry_out(action, uid, gid) < 0) {
            printf("cannot %s: errno %d\n", argv[number], errno);
            return 1;
        }
    }
    wait_for_ever(NULL);
}
