/* What the process sees. By system calls wherever there is one, so that most of it works without /proc. */
#include "report.h"
#include "json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void strings(const char *key, char **list) {
    json_open(key, '[');
    for (; *list; list++)
        json_string(NULL, *list);
    json_close(']');
}

/* The lines of a file as an array, null if it cannot be read. */
static void lines(const char *key, const char *path) {
    static char line[1 << 16];
    FILE *file = fopen(path, "re");
    if (!file) {
        json_string(key, NULL);
        return;
    }
    json_open(key, '[');
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        json_string(NULL, line);
    }
    json_close(']');
    fclose(file);
}

static void first_line(const char *key, const char *path) {
    char line[4096] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    line[length > 0 ? length : 0] = 0;
    line[strcspn(line, "\n")] = 0;
    json_string(key, length < 0 ? NULL : line);
}

static void link_target(const char *key, const char *path) {
    char target[4096];
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = 0;
    json_string(key, length < 0 ? NULL : target);
}

static void identity(void) {
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid, groups[1024];
    getresuid(&ruid, &euid, &suid);
    getresgid(&rgid, &egid, &sgid);
    json_number("pid", getpid());
    json_number("ppid", getppid());
    json_number("pgid", getpgid(0));
    json_number("sid", getsid(0));
    json_open("uid", '[');
    json_unsigned(NULL, ruid), json_unsigned(NULL, euid), json_unsigned(NULL, suid);
    json_close(']');
    json_open("gid", '[');
    json_unsigned(NULL, rgid), json_unsigned(NULL, egid), json_unsigned(NULL, sgid);
    json_close(']');
    json_open("groups", '[');
    int count = getgroups(1024, groups);
    for (int i = 0; i < count; i++)
        json_unsigned(NULL, groups[i]);
    json_close(']');
    mode_t mask = umask(0);
    umask(mask);
    json_number("umask", mask);
}

static void capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    syscall(SYS_capget, &header, data);
    unsigned long long bounding = 0, ambient = 0;
    for (unsigned long i = 0; i < 64; i++) {
        bounding |= (unsigned long long)(prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) << i;
        ambient |= (unsigned long long)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1) << i;
    }
    json_open("capabilities", '{');
    json_hex("bounding", bounding);
    json_hex("effective", data[0].effective | (unsigned long long)data[1].effective << 32);
    json_hex("inheritable", data[0].inheritable | (unsigned long long)data[1].inheritable << 32);
    json_hex("permitted", data[0].permitted | (unsigned long long)data[1].permitted << 32);
    json_hex("ambient", ambient);
    json_close('}');
}

/* From /proc/self/status if it is there: PR_GET_SECCOMP kills a process in strict mode. */
static void status(void) {
    static const char *const names[] = {"NoNewPrivs", "Seccomp", "Seccomp_filters", "SigQ", "SigPnd", "ShdPnd",
                                        "SigBlk",     "SigIgn",  "SigCgt",          "Umask", "NStgid", "TracerPid",
                                        "CapBnd",     "CapEff",  "CapInh",          "CapPrm", "CapAmb", "Threads"};
    char line[1024];
    FILE *file = fopen("/proc/self/status", "re");
    if (!file) {
        json_string("status", NULL);
        return;
    }
    json_open("status", '{');
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = 0;
        colon[1 + strcspn(colon + 1, "\n")] = 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (!strcmp(line, names[i]))
                json_string(names[i], colon + 1 + strspn(colon + 1, " \t"));
    }
    json_close('}');
    fclose(file);
}

static void signals(void) {
    unsigned long long ignored = 0, caught = 0, blocked = 0;
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int number = 1; number < 65; number++) {
        struct {
            void *handler;
            unsigned long flags;
            void *restorer;
            unsigned long mask;
        } action = {0};
        if (syscall(SYS_rt_sigaction, number, NULL, &action, 8) == 0) {
            ignored |= (unsigned long long)(action.handler == (void *)1) << (number - 1);
            caught |= (unsigned long long)((size_t)action.handler > 1) << (number - 1);
        }
        blocked |= (unsigned long long)(sigismember(&mask, number) == 1) << (number - 1);
    }
    json_open("signals", '{');
    json_hex("ignored", ignored);
    json_hex("caught", caught);
    json_hex("blocked", blocked);
    json_close('}');
}

static void process(void) {
    int death = 0, subreaper = 0;
    prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
    json_number("no_new_privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    json_number("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    json_number("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    json_number("parent_death_signal", death);
    json_number("child_subreaper", subreaper);
    json_unsigned("personality", (unsigned)personality(0xffffffff));
    json_number("nice", getpriority(PRIO_PROCESS, 0));
    json_number("scheduler", sched_getscheduler(0));
    json_number("io_priority", syscall(SYS_ioprio_get, 1, 0));
    cpu_set_t cpus;
    json_open("affinity", '[');
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &cpus))
                json_number(NULL, i);
    json_close(']');
    json_number("session_keyring", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    char description[256] = "";
    long length = syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, description, sizeof description - 1);
    json_string("session_keyring_description", length > 0 ? description : NULL);
    first_line("comm", "/proc/self/comm");
    first_line("oom_score_adj", "/proc/self/oom_score_adj");
    first_line("label", "/proc/self/attr/current");
    link_target("exe", "/proc/self/exe");
    lines("cgroup", "/proc/self/cgroup");
    lines("uid_map", "/proc/self/uid_map");
    lines("gid_map", "/proc/self/gid_map");
    first_line("setgroups", "/proc/self/setgroups");
}

static void limits(void) {
    static const char *const names[] = {
        "CPU",  "FSIZE", "DATA",  "STACK",      "CORE",     "RSS",  "NPROC",  "NOFILE",
        "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
    };
    json_open("rlimits", '{');
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        if (syscall(SYS_prlimit64, 0, i, NULL, &limit) < 0)
            continue;
        json_open(names[i], '[');
        json_unsigned(NULL, limit.rlim_cur), json_unsigned(NULL, limit.rlim_max);
        json_close(']');
    }
    json_close('}');
}

static void file_type(mode_t mode) {
    json_string("type", S_ISREG(mode)    ? "file"
                        : S_ISDIR(mode)  ? "directory"
                        : S_ISLNK(mode)  ? "link"
                        : S_ISCHR(mode)  ? "char"
                        : S_ISBLK(mode)  ? "block"
                        : S_ISFIFO(mode) ? "fifo"
                        : S_ISSOCK(mode) ? "socket"
                                         : "other");
}

static void file_status(const struct stat *status) {
    file_type(status->st_mode);
    json_number("mode", status->st_mode & 07777);
    json_unsigned("uid", status->st_uid);
    json_unsigned("gid", status->st_gid);
    json_unsigned("inode", status->st_ino);
    json_unsigned("device", status->st_dev);
    json_unsigned("major", major(status->st_rdev));
    json_unsigned("minor", minor(status->st_rdev));
    json_number("size", status->st_size);
}

static void descriptors(void) {
    json_open("fds", '{');
    for (int fd = 0; fd < 4096; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        char key[16], path[32];
        struct stat status = {0};
        snprintf(key, sizeof key, "%d", fd);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        json_open(key, '{');
        link_target("target", path);
        json_bool("cloexec", flags & FD_CLOEXEC);
        json_number("flags", fcntl(fd, F_GETFL));
        if (fstat(fd, &status) == 0)
            file_status(&status);
        json_close('}');
    }
    json_close('}');
}

static void terminal(void) {
    char name[256];
    struct winsize size = {0};
    int controlling = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    json_open("tty", '{');
    json_open("is_a_tty", '[');
    for (int fd = 0; fd < 3; fd++)
        json_bool(NULL, isatty(fd));
    json_close(']');
    json_string("name", ttyname_r(0, name, sizeof name) == 0 ? name : NULL);
    json_bool("controlling", controlling >= 0);
    json_number("foreground", controlling >= 0 ? tcgetpgrp(controlling) : -1);
    ioctl(0, TIOCGWINSZ, &size);
    json_number("height", size.ws_row);
    json_number("width", size.ws_col);
    json_close('}');
    if (controlling >= 0)
        close(controlling);
}

static void system_names(void) {
    struct utsname names;
    struct timespec monotonic, boottime;
    uname(&names);
    json_string("hostname", names.nodename);
    json_string("domainname", names.domainname);
    json_string("kernel", names.release);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boottime);
    json_number("monotonic", monotonic.tv_sec);
    json_number("boottime", boottime.tv_sec);
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    json_open("namespaces", '{');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        link_target(kinds[i], path);
    }
    json_close('}');
    json_open("interfaces", '{');
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct if_nameindex *all = fd < 0 ? NULL : if_nameindex();
    for (struct if_nameindex *one = all; one && one->if_index; one++) {
        struct ifreq request = {0};
        strncpy(request.ifr_name, one->if_name, IFNAMSIZ - 1);
        json_bool(one->if_name, ioctl(fd, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_UP);
    }
    json_close('}');
    if (fd >= 0)
        close(fd);
    lines("mountinfo", "/proc/self/mountinfo");
}

static void entries(const char *path) {
    DIR *directory = opendir(path);
    if (!directory)
        return;
    json_open("entries", '[');
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            json_string(NULL, entry->d_name);
    json_close(']');
    closedir(directory);
}

/* One path: lstat, the link's target, the filesystem it is on, a directory's entries; or the errno. */
static void file(const char *path) {
    struct stat status;
    struct statfs filesystem;
    json_open(path, '{');
    if (lstat(path, &status) < 0) {
        json_string("error", error_name(errno));
    } else {
        file_status(&status);
        if (S_ISLNK(status.st_mode))
            link_target("target", path);
        if (statfs(path, &filesystem) == 0) {
            json_hex("filesystem", (unsigned long)filesystem.f_type);
            json_unsigned("mount_flags", (unsigned long)filesystem.f_flags);
        }
        if (S_ISDIR(status.st_mode))
            entries(path);
    }
    json_close('}');
}

void report(char **argv, char **paths) {
    char cwd[4096];
    json_open(NULL, '{');
    descriptors(); /* first: the rest opens files of its own */
    signals();
    identity();
    strings("argv", argv);
    strings("env", environ);
    json_string("cwd", getcwd(cwd, sizeof cwd));
    capabilities();
    status();
    process();
    report_scheduling();
    limits();
    terminal();
    system_names();
    json_open("files", '{');
    for (; *paths; paths++)
        file(*paths);
    json_close('}');
    json_close('}');
}
