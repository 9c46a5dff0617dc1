/* Finds what to run.
 *
 * PREFIX is the parent of the directory that holds this program, read from /proc/self/exe: a symbolic link to the
 * launcher changes nothing, and neither PATH nor the working directory nor the environment has a say.
 *
 *   interpreter  PREFIX/bin/python3 if it exists, else the one configured at build time
 *   package      pyoci in site-packages or dist-packages of a python3* below PREFIX/lib or PREFIX/lib64, else the one
 *                configured
 *
 * The package below the interpreter's own version comes first, so that the usual case needs no directory listing. One
 * below another version is found for the commands that stop containers; the others say that it must be installed again.
 */
#include "launcher.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDEST_MINOR 11 /* pyproject.toml: requires-python */

#ifndef CONFIGURED_INTERPRETER
#define CONFIGURED_INTERPRETER "/usr/bin/python3"
#endif
#ifndef CONFIGURED_PACKAGE
#define CONFIGURED_PACKAGE ""
#endif

static void find_prefix(char program[PATH_MAX], char prefix[PATH_MAX]) {
    ssize_t length = readlink("/proc/self/exe", program, PATH_MAX);
    if (length < 0)
        fail("cannot read /proc/self/exe", "", errno);
    if (length == PATH_MAX)
        fail("own path too long", "", 0);
    program[length] = 0;
    if (program[0] != '/')
        fail("own path is unknown: /proc/self/exe is ", program, 0);
    strcpy(prefix, program);
    prefix[directory_length(prefix)] = 0;
    prefix[directory_length(prefix)] = 0; /* "" when the program is in /bin */
}

static void find_interpreter(const char *prefix, struct target *target) {
    join(target->interpreter_name, prefix, "/bin/python3", "");
    if (realpath(target->interpreter_name, target->interpreter))
        return;
    join(target->interpreter_name, CONFIGURED_INTERPRETER, "", "");
    if (!realpath(CONFIGURED_INTERPRETER, target->interpreter))
        fail("no Python interpreter: there is neither PREFIX/bin/python3 nor ", CONFIGURED_INTERPRETER, errno);
}

/* "311" for ".../python3.11" (or 3.11d) */
static void find_digits(const char *interpreter, char out[16]) {
    const char *name = interpreter + directory_length(interpreter) + 1;
    *out = 0;
    if (strncmp(name, "python3.", 8) || strlen(name) >= 16)
        return;
    for (name += 6; (*name >= '0' && *name <= '9') || *name == '.'; name++)
        if (*name != '.')
            *out++ = *name;
    *out = 0;
}

/* Is DIRECTORY/{site,dist}-packages/pyoci there? Its path goes to out. */
static bool holds_package(const char *directory, char out[PATH_MAX]) {
    static const char *const names[] = {"/site-packages/pyoci", "/dist-packages/pyoci"};
    char main[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        join(out, directory, names[i], "");
        join(main, out, "/__main__.py", "");
        if (access(main, F_OK) == 0)
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

static bool find_below(const char *prefix, const char *version, char out[PATH_MAX]) {
    static const char *const libraries[] = {"/lib", "/lib64"};
    char library[2][PATH_MAX], path[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        join(library[i], prefix, libraries[i], "");
        join(path, library[i], version, "");
        if (holds_package(path, out))
            return true;
    }
    return scan_library(library[0], out) || scan_library(library[1], out);
}

static void find_package(const char *prefix, struct target *target) {
    const char *version = target->interpreter + directory_length(target->interpreter); /* "/python3.11" */
    bool found = find_below(prefix, version, target->package_name);
    if (!found)
        join(target->package_name, CONFIGURED_PACKAGE, "", "");
    if ((!found && !CONFIGURED_PACKAGE[0]) || !realpath(target->package_name, target->package))
        fail("the Python package pyoci is not installed below ", prefix[0] ? prefix : "/", 0);
}

/* "PACKAGE/start.cpython-311.pyc": named as in __pycache__, for every release of 3.11 */
static bool find_start(struct target *target) {
    char name[64];
    if (!target->digits[0])
        return false;
    stpcpy(stpcpy(stpcpy(name, "/start.cpython-"), target->digits), ".pyc");
    join(target->main, target->package, name, "");
    return access(target->main, F_OK) == 0;
}

void find_target(struct target *target) {
    char prefix[PATH_MAX];
    find_prefix(target->launcher, prefix);
    find_interpreter(prefix, target);
    find_digits(target->interpreter, target->digits);
    find_package(prefix, target);
    if (!find_start(target))
        join(target->main, target->package, "/__main__.py", "");
}

/* "3.11" for "/python3.11/site-packages/pyoci" and "python3.11", "" where there is no version. */
static void version_of(const char *name, char out[8]) {
    size_t length = strncmp(name, "python3.", 8) ? 0 : 2 + strspn(name + 8, "0123456789");
    if (length > 6)
        length = 0;
    memcpy(out, name + 6, length);
    out[length] = 0;
}

/* After an upgrade of the system's Python the package is below lib/python3.11 and bin/python3 is 3.13. Compiled modules
 * that the package needs are not there for the new one. The commands that stop containers need none and GO ON, without
 * a word: containerd reads the standard error of `state` together with its output. */
void check_version(const struct target *target, bool goes_on) {
    char directory[PATH_MAX], made[8], found[8];
    strcpy(directory, target->package);
    directory[directory_length(directory)] = 0;
    directory[directory_length(directory)] = 0;
    version_of(directory + directory_length(directory) + (directory[0] != 0), made);
    version_of(target->interpreter + directory_length(target->interpreter) + 1, found);
    if (!made[0] || !found[0] || !strcmp(made, found))
        return;
    if (goes_on && atol(found + 2) >= OLDEST_MINOR)
        return;
    char installed[40], is[32];
    stpcpy(stpcpy(stpcpy(installed, "installed for Python "), made), ", ");
    stpcpy(stpcpy(is, found), ": install again");
    say(installed, target->interpreter_name, " is ", is);
    exit(1);
}
