/* The container's process in the tests: does what its arguments say, prints what it sees as JSON.
 *
 *   reporter COMMAND [ARG...] [, COMMAND [ARG...]]...      one after the other; "," stands alone
 *
 *   report [PATH...]          everything about the process and the named files, to standard output
 *   report-to FILE [PATH...]  the same into a file
 *   sleep                     until a signal ends it
 *   trap STATUS               until SIGTERM, which ends it with STATUS; caught from the program's start
 *   exit STATUS               at once
 *   die SIGNAL                by a signal, with its default action
 *   spawn COUNT               children that sleep
 *   orphan                    a grandchild that sleeps and has lost its parent
 *   write FILE TEXT           text and a newline, the file is made or emptied
 *   read FILE                 to standard output
 *   echo                      standard input to standard output until its end
 *   try CALL ARG...           one system call, its result as {"call":..., "result":-1, "errno":1, "error":"EPERM"}:
 *     open PATH r|w|rw|a|create|truncate    mknod PATH c|b|p MAJOR MINOR    mkdir PATH    unlink PATH
 *     mount SOURCE TARGET TYPE FLAGS DATA    umount PATH    chroot PATH    unshare FLAGS    sethostname NAME
 *     chown PATH UID GID    kill PID SIGNAL    syscall NUMBER [ARG]...    exec PATH
 *
 * Without a command: report. A failing write or read prints its errno and ends with status 99.
 */
#include "json.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t terminated;

static void on_terminate(int number) {
    terminated = number;
}

static _Noreturn void die_with(const char *what, const char *name) {
    dprintf(2, "reporter: %s %s: %s\n", what, name, error_name(errno));
    exit(99);
}

const char *error_name(int error) {
    const char *name = error ? strerrorname_np(error) : "0";
    return name ? name : "unknown";
}

static const char *argument(char **arguments, int index) {
    for (int i = 0; i <= index; i++)
        if (!arguments[i]) {
            dprintf(2, "reporter: an argument is missing\n");
            exit(98);
        }
    return arguments[index];
}

static long number(char **arguments, int index) {
    return strtol(argument(arguments, index), NULL, 0);
}

static void copy(int from, int to) {
    char block[1 << 16];
    for (ssize_t count; (count = read(from, block, sizeof block)) > 0;)
        if (write(to, block, (size_t)count) != count)
            die_with("write", "standard output");
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0 || dprintf(fd, "%s\n", text) < 0)
        die_with("write", path);
    close(fd);
}

static void report_to(char **argv, char **arguments) {
    int fd = open(argument(arguments, 0), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        die_with("write", arguments[0]);
    json_output(fd);
    report(argv, arguments + 1);
    json_output(1);
    close(fd);
}

static void spawn(long count, int orphaned) {
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            die_with("fork", "");
        if (child == 0) {
            if (orphaned && fork())
                _exit(0);
            for (;;)
                pause();
        }
    }
}

static int try_open(char **a) {
    static const struct {
        const char *name;
        int flags;
    } ways[] = {{"r", O_RDONLY}, {"w", O_WRONLY}, {"rw", O_RDWR}, {"a", O_WRONLY | O_APPEND},
                {"create", O_WRONLY | O_CREAT | O_EXCL}, {"truncate", O_WRONLY | O_TRUNC}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(argument(a, 1), ways[i].name)) {
            int fd = open(a[0], ways[i].flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
            return fd < 0 ? -1 : close(fd);
        }
    errno = EINVAL;
    return -1;
}

static int try_mknod(char **a) {
    mode_t kind = *argument(a, 1) == 'c' ? S_IFCHR : *a[1] == 'b' ? S_IFBLK : S_IFIFO;
    return mknod(a[0], kind | 0666, makedev((unsigned)number(a, 2), (unsigned)number(a, 3)));
}

static long try_syscall(char **a) {
    long value[6] = {0};
    for (int i = 0; i < 6 && a[1 + i]; i++)
        value[i] = strtol(a[1 + i], NULL, 0);
    return syscall(number(a, 0), value[0], value[1], value[2], value[3], value[4], value[5]);
}

static long call(const char *name, char **a) {
    if (!strcmp(name, "open"))
        return try_open(a);
    if (!strcmp(name, "mknod"))
        return try_mknod(a);
    if (!strcmp(name, "mkdir"))
        return mkdir(argument(a, 0), 0777);
    if (!strcmp(name, "unlink"))
        return unlink(argument(a, 0));
    if (!strcmp(name, "mount"))
        return mount(argument(a, 0), argument(a, 1), argument(a, 2), (unsigned long)number(a, 3), argument(a, 4));
    if (!strcmp(name, "umount"))
        return umount(argument(a, 0));
    if (!strcmp(name, "chroot"))
        return chroot(argument(a, 0));
    if (!strcmp(name, "unshare"))
        return unshare((int)number(a, 0));
    if (!strcmp(name, "sethostname"))
        return sethostname(argument(a, 0), strlen(a[0]));
    if (!strcmp(name, "chown"))
        return chown(argument(a, 0), (uid_t)number(a, 1), (gid_t)number(a, 2));
    if (!strcmp(name, "kill"))
        return kill((pid_t)number(a, 0), (int)number(a, 1));
    if (!strcmp(name, "syscall"))
        return try_syscall(a);
    if (!strcmp(name, "exec"))
        return execve(argument(a, 0), a, environ);
    dprintf(2, "reporter: try %s: unknown\n", name);
    exit(98);
}

static void try(char **arguments) {
    const char *name = argument(arguments, 0);
    errno = 0;
    long result = call(name, arguments + 1);
    int error = result == -1 ? errno : 0;
    json_open(NULL, '{');
    json_string("call", name);
    json_number("result", result);
    json_number("errno", error);
    json_string("error", error_name(error));
    json_close('}');
}

static void sleep_forever(void) {
    for (;;)
        pause();
}

/* At the very start, so that a SIGTERM sent when the first line of output appears is not too early. */
static void catch_terminate(char **argv) {
    struct sigaction action = {.sa_handler = on_terminate};
    for (; *argv; argv++)
        if (!strcmp(*argv, "trap"))
            sigaction(SIGTERM, &action, NULL);
}

static _Noreturn void trap(long status) {
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &before);
    sigdelset(&before, SIGTERM);
    while (!terminated)
        sigsuspend(&before);
    exit((int)status);
}

static void die(int signal_number) {
    sigset_t mask;
    signal(signal_number, SIG_DFL);
    sigemptyset(&mask);
    sigaddset(&mask, signal_number);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    kill(getpid(), signal_number);
}

static void run(const char *name, char **arguments, char **argv) {
    if (!strcmp(name, "report"))
        report(argv, arguments);
    else if (!strcmp(name, "report-to"))
        report_to(argv, arguments);
    else if (!strcmp(name, "sleep"))
        sleep_forever();
    else if (!strcmp(name, "trap"))
        trap(number(arguments, 0));
    else if (!strcmp(name, "exit"))
        exit((int)number(arguments, 0));
    else if (!strcmp(name, "die"))
        die((int)number(arguments, 0));
    else if (!strcmp(name, "spawn"))
        spawn(number(arguments, 0), 0);
    else if (!strcmp(name, "orphan"))
        spawn(1, 1);
    else if (!strcmp(name, "write"))
        write_file(argument(arguments, 0), argument(arguments, 1));
    else if (!strcmp(name, "echo"))
        copy(0, 1);
    else if (!strcmp(name, "try"))
        try(arguments);
    else if (!strcmp(name, "read")) {
        int fd = open(argument(arguments, 0), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            die_with("read", arguments[0]);
        copy(fd, 1);
        close(fd);
    } else {
        dprintf(2, "reporter: unknown command %s\n", name);
        exit(98);
    }
}

int main(int argc, char **argv) {
    char **words = calloc((size_t)argc + 2, sizeof *words);
    char **original = calloc((size_t)argc + 1, sizeof *original);
    memcpy(original, argv, (size_t)argc * sizeof *argv);
    if (argc > 1)
        memcpy(words, argv + 1, (size_t)(argc - 1) * sizeof *argv);
    else
        words[0] = "report";
    catch_terminate(argv);
    while (*words) {
        char **end = words;
        while (*end && strcmp(*end, ","))
            end++;
        char **next = *end ? end + 1 : end;
        *end = NULL;
        run(words[0], words + 1, original);
        words = next;
    }
    return 0;
}
