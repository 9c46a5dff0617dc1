/* What the launcher's files share. No OCI knowledge here: only files, mounts and processes. */
#ifndef LAUNCHER_H
#define LAUNCHER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* What is run. Every path is absolute, and free of symbolic links but for the two names. */
struct target {
    char launcher[PATH_MAX];         /* this program */
    char interpreter_name[PATH_MAX]; /* as it was looked for: PREFIX/bin/python3 or the configured one */
    char interpreter[PATH_MAX];      /* the Python executable that the name leads to */
    char digits[16];                 /* of its version: "311", or "" where its name has none */
    char package_name[PATH_MAX];     /* as it was looked for */
    char package[PATH_MAX];          /* the directory of the package pyoci */
    char main[PATH_MAX];             /* its file for this interpreter, start.cpython-3xx.pyc, or its __main__.py */
};

/* An interpreter that can be executed but never be written through. */
struct sealed {
    int directory;    /* execveat's directory descriptor */
    const char *name; /* name below it, or "" when the descriptor is the file */
    const char *how;  /* "overlay" or "memfd" */
};

/* text.c: messages and paths, without stdio, which would double the size of the program */
void say(const char *a, const char *b, const char *c, const char *d);
_Noreturn void fail(const char *what, const char *path, int error);
_Noreturn void refuse(const char *path, const char *why);
void join(char out[PATH_MAX], const char *directory, const char *a, const char *b);
size_t directory_length(const char *path);

/* find.c: interpreter and package, from /proc/self/exe and build-time options */
void find_target(struct target *target);
void check_version(const struct target *target, bool goes_on);

/* trust.c: ends the program when others may change what is about to run */
void check_trust(const struct target *target, bool warn);

/* seal.c: ends the program when no way of sealing works */
struct sealed seal_interpreter(const struct target *target);

#endif
