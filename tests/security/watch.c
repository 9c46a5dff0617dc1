/* watch CAPABILITIES [ready FD...]: looks at every other process in /proc, as fast as it can, until SIGTERM; prints
 * what none may have, a line each, and at the end how many looks at how many processes it has had.
 *
 * Wrong is: another mount namespace than ours, another root, a working directory outside of it, a capability that is
 * not in CAPABILITIES (hexadecimal, of any set), a descriptor above 2 but sockets (the channel to the runtime) and
 * what is open in the program itself, a controlling terminal, and an executable of the runtime that can be written
 * to. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static unsigned long long allowed, looks, processes, sockets;
static char own_namespace[64];
static struct stat own_root;

static void stop(int number) {
    stopped = number;
}

static int link_of(int directory, const char *name, char *target, size_t size) {
    ssize_t length = readlinkat(directory, name, target, size - 1);
    if (length < 0)
        return -1;
    target[length] = 0;
    return 0;
}

static void wrong(const char *pid, const char *what, const char *detail) {
    printf("wrong: %s: %s %s\n", pid, what, detail);
    fflush(stdout);
}

static void descriptors(int process, const char *pid) {
    int opened = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = opened < 0 ? NULL : fdopendir(opened);
    if (!list)
        return;
    for (struct dirent *entry; (entry = readdir(list));) {
        char target[512];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) < 3 || link_of(opened, entry->d_name, target, sizeof target))
            continue;
        if (!strncmp(target, "socket:[", 8))
            sockets++;
        else
            wrong(pid, "descriptor", target);
    }
    closedir(list);
}

/* The beginning of a file of the process, with a NUL behind it. -1: there is nothing. */
static int content(int process, const char *name, char *text, size_t size) {
    int file = openat(process, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, size - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return -1;
    text[length] = 0;
    return 0;
}

static void capabilities(int process, const char *pid) {
    char text[4096];
    if (content(process, "status", text, sizeof text))
        return;
    for (char *line = strstr(text, "CapInh:"); line && !strncmp(line, "Cap", 3); line = strchr(line, '\n') + 1)
        if (strtoull(line + 7, NULL, 16) & ~allowed) {
            line[strcspn(line, "\n")] = 0;
            wrong(pid, "capability", line);
            return;
        }
}

/* Field 7 of /proc/PID/stat; the name, field 2, may have parentheses in it. */
static void terminal(int process, const char *pid) {
    char text[1024];
    int number = 0;
    if (content(process, "stat", text, sizeof text))
        return;
    char *rest = strrchr(text, ')');
    if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %d", &number) == 1 && number)
        wrong(pid, "controlling terminal", rest + 1);
}

static void look(const char *pid) {
    char target[512];
    int process = open(pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return;
    struct stat root;
    if (link_of(process, "ns/mnt", target, sizeof target) == 0) {
        processes++;
        if (strcmp(target, own_namespace))
            wrong(pid, "mount namespace", target);
    }
    if (fstatat(process, "root", &root, 0) == 0 && (root.st_ino != own_root.st_ino || root.st_dev != own_root.st_dev))
        wrong(pid, "root", "is another");
    if (link_of(process, "cwd", target, sizeof target) == 0 && target[0] != '/')
        wrong(pid, "working directory", target);
    int program = openat(process, "exe", O_WRONLY | O_CLOEXEC);
    if (program >= 0) {
        if (write(program, "", 0) == 0 && link_of(process, "exe", target, sizeof target) == 0 && strcmp(target, "/reporter"))
            wrong(pid, "writable executable", target);
        close(program);
    }
    capabilities(process, pid);
    terminal(process, pid);
    descriptors(process, pid);
    close(process);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    if (argc < 2 || chdir("/proc") < 0 || link_of(AT_FDCWD, "self/ns/mnt", own_namespace, sizeof own_namespace))
        return 2;
    allowed = strtoull(argv[1], NULL, 16);
    stat("/", &own_root);
    printf("ready\n");
    fflush(stdout);
    while (!stopped) {
        DIR *list = opendir("/proc");
        for (struct dirent *entry; list && (entry = readdir(list));)
            if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && atoi(entry->d_name) != getpid())
                look(entry->d_name);
        closedir(list);
        looks++;
    }
    printf("looks: %llu\nprocesses: %llu\nsockets: %llu\n", looks, processes, sockets);
    return 0;
}
