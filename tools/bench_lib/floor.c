/* What the kernel alone takes for `run` of the measured bundle: the same work as a runtime's, without reading a
 * configuration, without errors worth reading, without anything that is kept for later.
 *
 * floor BUNDLE CGROUP: state directory, cgroup, clone3 with six new namespaces, rootfs, mounts, devices, masks,
 * pivot_root, limits, capabilities, execve of /bin/true, wait, removal. Any failure ends it with a number, the line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY(call) do { if ((call) < 0) _exit(__LINE__ % 250 + 1); } while (0)

static const char *const masked[] = {"acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats",
                                     "sched_debug", "scsi"};
static const char *const read_only[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};
static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
static const unsigned numbers[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}};

static void mounts(void) {
    char path[64];
    TRY(mount("proc", "proc", "proc", 0, NULL));
    TRY(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
    TRY(mkdir("dev/pts", 0755) | mkdir("dev/shm", 01777) | mkdir("dev/mqueue", 0755));
    TRY(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    TRY(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"));
    TRY(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
    TRY(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL));
    TRY(mount("cgroup", "sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL));
    for (unsigned i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "dev/%s", devices[i]);
        TRY(mknod(path, S_IFCHR | 0666, makedev(numbers[i][0], numbers[i][1])));
    }
    TRY(symlink("/proc/self/fd", "dev/fd") | symlink("/proc/self/fd/0", "dev/stdin") |
        symlink("/proc/self/fd/1", "dev/stdout") | symlink("/proc/self/fd/2", "dev/stderr") |
        symlink("pts/ptmx", "dev/ptmx"));
}

static void hide(void) {
    char path[64];
    struct stat about;
    for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
        snprintf(path, sizeof path, "/proc/%s", masked[i]);
        if (stat(path, &about) < 0)
            continue;
        if (S_ISDIR(about.st_mode))
            TRY(mount("tmpfs", path, "tmpfs", MS_RDONLY, NULL));
        else
            TRY(mount("/dev/null", path, NULL, MS_BIND, NULL));
    }
    for (unsigned i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        snprintf(path, sizeof path, "/proc/%s", read_only[i]);
        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
            continue;
        TRY(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    }
}

static void child(const char *rootfs) {
    struct ifreq loopback = {.ifr_name = "lo"};
    struct rlimit limit = {1024, 1024};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const uint32_t kept = 1u << 29 | 1u << 5 | 1u << 10;
    struct __user_cap_data_struct sets[2] = {{kept, kept, 0}, {0, 0, 0}};
    int net = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    TRY(net);
    loopback.ifr_flags = IFF_UP;
    TRY(ioctl(net, SIOCSIFFLAGS, &loopback));
    TRY(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    TRY(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
    TRY(chdir(rootfs));
    mounts();
    TRY(syscall(SYS_pivot_root, ".", "."));
    TRY(umount2(".", MNT_DETACH));
    TRY(chdir("/"));
    TRY(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    hide();
    TRY(sethostname("bench", 5));
    TRY(setsid());
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    for (int number = 0; prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; number++)
        if (number > 31 || !(kept >> number & 1))
            TRY(prctl(PR_CAPBSET_DROP, number, 0, 0, 0));
    TRY(syscall(SYS_capset, &header, sets));
    TRY(syscall(SYS_close_range, 3u, ~0u, 0));
    execl("/bin/true", "/bin/true", NULL);
    _exit(251);
}

int main(int argc, char **argv) {
    int pidfd = -1, status;
    char rootfs[256], state[256];
    if (argc != 3)
        return 252;
    snprintf(rootfs, sizeof rootfs, "%s/rootfs", argv[1]);
    snprintf(state, sizeof state, "%s/state", argv[1]);
    TRY(mkdir(state, 0711));
    TRY(mkdir(argv[2], 0755));
    int cgroup = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    TRY(cgroup);
    struct clone_args how = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
                 CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)cgroup,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    TRY(pid);
    if (pid == 0)
        child(rootfs);
    TRY(waitpid(pid, &status, 0));
    TRY(rmdir(argv[2]));
    TRY(rmdir(state));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 253;
}
