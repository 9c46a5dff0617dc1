/* Messages and paths. Fixed buffers and write(2) only. */
#include "launcher.h"

#include <string.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

void say(const char *a, const char *b, const char *c, const char *d) {
    const char *parts[] = {"pyoci: ", a, b, c, d, "\n"};
    struct iovec vector[6];
    for (int i = 0; i < 6; i++)
        vector[i] = (struct iovec){(void *)parts[i], strlen(parts[i])};
    if (writev(STDERR_FILENO, vector, 6) < 0)
        return; /* nobody listens: the exit status still tells */
}

void fail(const char *what, const char *path, int error) {
    say(what, path, error ? ": " : "", error ? strerror(error) : "");
    exit(1);
}

void refuse(const char *path, const char *why) {
    say("refusing to run: ", path, " ", why);
    exit(1);
}

/* out = directory + a + b; paths that do not fit end the program. */
void join(char out[PATH_MAX], const char *directory, const char *a, const char *b) {
    size_t length = strlen(directory) + strlen(a) + strlen(b);
    if (length >= PATH_MAX)
        fail("path too long below ", directory, 0);
    stpcpy(stpcpy(stpcpy(out, directory), a), b);
}

/* Length of the directory part of an absolute path, without its slash: 4 for "/usr/bin", 0 for "/usr". */
size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}
