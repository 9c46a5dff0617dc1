/* Finds what to run.
 *
 * PREFIX is the parent of the directory that holds this program, read from /proc/self/exe: a symbolic link to the
 * launcher changes nothing, and neither PATH nor the working directory nor the environment has a say.
 *
 *   interpreter  PREFIX/bin/python3 if it exists, else the one configured at build time
 *   package      pyoci in site-packages or dist-packages of a python3* below PREFIX/lib or PREFIX/lib64, else the one
 *                configured
 *
 * The package below the interpreter's own version comes first, so that the usual case needs no directory listing.
 */
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CONFIGURED_INTERPRETER
#define CONFIGURED_INTERPRETER "/usr/bin/python3"
#endif
#ifndef CONFIGURED_PACKAGE
#define CONFIGURED_PACKAGE ""
#endif

static void find_prefix(char prefix[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", prefix, PATH_MAX);
    if (length < 0)
        fail("cannot read /proc/self/exe", "", errno);
    if (length == PATH_MAX)
        fail("own path too long", "", 0);
    prefix[length] = 0;
    if (prefix[0] != '/')
        fail("own path is unknown: /proc/self/exe is ", prefix, 0);
    prefix[directory_length(prefix)] = 0;
    prefix[directory_length(prefix)] = 0; /* "" when the program is in /bin */
}

static void find_interpreter(const char *prefix, char out[PATH_MAX]) {
    char path[PATH_MAX];
    join(path, prefix, "/bin/python3", "");
    if (realpath(path, out))
        return;
    if (!realpath(CONFIGURED_INTERPRETER, out))
        fail("no Python interpreter: there is neither PREFIX/bin/python3 nor ", CONFIGURED_INTERPRETER, errno);
}

/* Is DIRECTORY/{site,dist}-packages/pyoci there? Its real path goes to out. */
static bool holds_package(const char *directory, char out[PATH_MAX]) {
    static const char *const names[] = {"/site-packages/pyoci", "/dist-packages/pyoci"};
    char path[PATH_MAX], main[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        join(path, directory, names[i], "");
        join(main, path, "/__main__.py", "");
        if (access(main, F_OK) == 0 && realpath(path, out))
            return true;
    }
    return false;
}

/* Every python3* directory in LIBRARY; of several that hold the package the highest version is taken. */
static bool scan_library(const char *library, char out[PATH_MAX]) {
    DIR *directory = opendir(library);
    if (!directory)
        return false;
    long best = -1;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strncmp(entry->d_name, "python3", 7))
            continue;
        char path[PATH_MAX], found[PATH_MAX];
        join(path, library, "/", entry->d_name);
        long minor = entry->d_name[7] == '.' ? atol(entry->d_name + 8) : 0;
        if (minor > best && holds_package(path, found)) {
            best = minor;
            strcpy(out, found);
        }
    }
    closedir(directory);
    return best >= 0;
}

static void find_package(const char *prefix, const char *interpreter, char out[PATH_MAX]) {
    static const char *const libraries[] = {"/lib", "/lib64"};
    const char *version = interpreter + directory_length(interpreter); /* "/python3.11" */
    char library[2][PATH_MAX], path[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        join(library[i], prefix, libraries[i], "");
        join(path, library[i], version, "");
        if (holds_package(path, out))
            return;
    }
    for (int i = 0; i < 2; i++)
        if (scan_library(library[i], out))
            return;
    if (!CONFIGURED_PACKAGE[0] || !realpath(CONFIGURED_PACKAGE, out))
        fail("the Python package pyoci is not installed below ", prefix[0] ? prefix : "/", 0);
}

/* "PACKAGE/start.cpython-311.pyc" for ".../python3.11" (or 3.11d): named as in __pycache__, for every release of 3.11 */
static bool find_start(struct target *target) {
    const char *version = target->interpreter + directory_length(target->interpreter) + 1;
    char digits[16] = "";
    if (strncmp(version, "python", 6) || strlen(version) >= sizeof digits)
        return false;
    char *end = digits;
    for (version += 6; (*version >= '0' && *version <= '9') || *version == '.'; version++)
        if (*version != '.')
            *end++ = *version;
    char name[64];
    stpcpy(stpcpy(stpcpy(name, "/start.cpython-"), digits), ".pyc");
    join(target->main, target->package, name, "");
    return access(target->main, F_OK) == 0;
}

void find_target(struct target *target) {
    char prefix[PATH_MAX];
    find_prefix(prefix);
    find_interpreter(prefix, target->interpreter);
    find_package(prefix, target->interpreter, target->package);
    if (!find_start(target))
        join(target->main, target->package, "/__main__.py", "");
}
