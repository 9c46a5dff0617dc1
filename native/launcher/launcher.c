/* pyoci: starts the Python program of the same name, quickly, with a clean environment, and sealed.
 *
 * Executes   INTERPRETER -I -S -B -X utf8 PACKAGE/start.cpython-3xx.pyc ARGS...
 * A file, not the directory: running a directory imports runpy and costs 4.5 ms more (docs/measurements.md). Where the
 * build made no such file for this interpreter, it is PACKAGE/__main__.py, 0.6 ms slower.
 *
 * What the Python side gets:
 *   argv          as the caller wrote it, without argv[0]
 *   environment   the caller's PATH HOME USER XDG_RUNTIME_DIR DBUS_* NOTIFY_SOCKET LISTEN_*, and from here
 *     PYOCI_ARGV0   argv[0] as the caller wrote it: error texts begin with it
 *     PYOCI_UMASK   the caller's umask in octal; the process's own is 0
 *     PYOCI_SEALED  "overlay" or "memfd" if this executable is sealed, absent if not
 *     LC_ALL        "C": the C library's messages in English, and Python does not load a locale (nor set LC_CTYPE)
 *     LD_LIBRARY_PATH  only for an interpreter with a shared library beside it, which could not find it from a
 *                   sealed copy ($ORIGIN is taken from /proc/self/exe)
 *   The Python side takes these five out of its environment before anything can inherit them.
 *   descriptors   0, 1 and 2 are open (/dev/null where the caller had closed them); nothing of the launcher's stays
 *   signals       SIGCHLD default, and 32 and 33, which Python cannot reach. Mask and other dispositions are the
 *                 caller's. Nothing about them is handed over:
 *                 what Python itself changes (SIGPIPE, SIGXFSZ, SIGINT) goes back to default before the container.
 *
 * Sealed are the commands whose process becomes the container's: create, run, exec, restore. Their Python side
 * refuses to run without PYOCI_SEALED, so a command line that is read differently here and there fails, and never
 * runs unsealed.
 *
 * The decision: docs/decisions/launcher.md.
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;


static bool is_one_of(const char *word, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(word, *list))
            return true;
    return false;
}

/* The command: the first argument that is neither a global flag nor the value of one. "" if there is none. */
static const char *find_command(char **argv) {
    static const char *const with_value[] = {"log", "log-format", "root", "rootless", NULL};
    for (argv++; *argv; argv++) {
        const char *word = *argv;
        if (word[0] != '-' || !word[1])
            return word;
        word += word[1] == '-' ? 2 : 1;
        if (!*word) /* "--" ends the flags */
            return argv[1] ? argv[1] : "";
        if (is_one_of(word, with_value) && argv[1])
            argv++;
    }
    return "";
}

static bool needs_seal(const char *command) {
    static const char *const commands[] = {"create", "run", "exec", "restore", NULL};
    return is_one_of(command, commands);
}

/* Works without any compiled module but the interpreter's own; "" is --version and the help. */
static bool stops_containers(const char *command) {
    static const char *const commands[] = {"", "help", "h", "state", "list", "ps", "kill", "delete", NULL};
    return is_one_of(command, commands);
}

static bool is_kept(const char *variable) {
    static const char *const names[] = {"PATH=", "HOME=", "USER=", "XDG_RUNTIME_DIR=", "NOTIFY_SOCKET=", "DBUS_",
                                        "LISTEN_"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strncmp(variable, names[i], strlen(names[i])))
            return true;
    return false;
}

static void *allocate(size_t count) {
    void *memory = calloc(count, sizeof(char *));
    if (!memory)
        fail("out of memory", "", 0);
    return memory;
}

/* "NAME=value" in memory of its own. */
static char *variable(const char *name, const char *value) {
    char *text = malloc(strlen(name) + strlen(value) + 1);
    if (!text)
        fail("out of memory", "", 0);
    stpcpy(stpcpy(text, name), value);
    return text;
}

/* LD_LIBRARY_PATH for DIRECTORY/python3.N with DIRECTORY/../lib/libpython3.N.so.1.0, else NULL. */
static char *library_path(const char *interpreter) {
    char directory[PATH_MAX], library[PATH_MAX];
    strcpy(directory, interpreter);
    directory[directory_length(directory)] = 0;
    directory[directory_length(directory)] = 0;
    const char *name = interpreter + directory_length(interpreter) + 1;
    join(library, directory, "/lib/lib", name);
    if (strlen(library) + sizeof ".so.1.0" > PATH_MAX)
        return NULL;
    strcat(library, ".so.1.0");
    if (access(library, F_OK) < 0)
        return NULL;
    library[directory_length(library)] = 0;
    return variable("LD_LIBRARY_PATH=", library);
}

static char **make_environment(const struct target *target, const char *argv0, mode_t mask, const char *how) {
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **environment = allocate(count + 6);
    for (size_t i = 0; i < count; i++)
        if (is_kept(environ[i]))
            environment[kept++] = environ[i];
    char octal[] = {(char)('0' + (mask >> 6 & 7)), (char)('0' + (mask >> 3 & 7)), (char)('0' + (mask & 7)), 0};
    environment[kept++] = variable("PYOCI_ARGV0=", argv0);
    environment[kept++] = variable("PYOCI_UMASK=", octal);
    environment[kept++] = "LC_ALL=C";
    if (how)
        environment[kept++] = variable("PYOCI_SEALED=", how);
    environment[kept++] = library_path(target->interpreter); /* last: it may be NULL */
    return environment;
}

static char **make_arguments(struct target *target, int argc, char **argv) {
    static char *const head[] = {"-I", "-S", "-B", "-X", "utf8"};
    char **arguments = allocate((size_t)argc + 8);
    size_t count = 0;
    arguments[count++] = target->interpreter; /* CPython finds its standard library from argv[0] */
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        arguments[count++] = head[i];
    arguments[count++] = target->main;
    for (int i = 1; i < argc; i++)
        arguments[count++] = argv[i];
    return arguments;
}

/* Descriptors 0 to 2 must exist before anything is opened, or a file would take their place. With a directory among
 * them CPython does not start, and says so in its own words. */
static void open_standard_descriptors(void) {
    static const char *const names[] = {"input", "output", "error"};
    struct stat status;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            fail("cannot open ", "/dev/null", errno);
    for (int fd = 0; fd < 3; fd++)
        if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
            fail("a directory cannot be standard ", names[fd], 0);
}

/* glibc's posix_spawn(3), which make uses, starts programs with the C library's own two signals ignored, and its
 * sigaction(3) refuses to change them. */
static void default_signals(void) {
    const unsigned long zeroes[4] = {0}; /* the kernel's struct sigaction with SIG_DFL */
    static const int numbers[] = {SIGCHLD, 32, 33};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        syscall(SYS_rt_sigaction, numbers[i], zeroes, NULL, 8);
}

int main(int argc, char **argv) {
    open_standard_descriptors();
    mode_t mask = umask(0);
    default_signals();

    const char *command = argc > 0 ? find_command(argv) : "";
    bool sealing = needs_seal(command);
    struct target target;
    find_target(&target);
    check_version(&target, stops_containers(command));
    check_trust(&target, sealing);
    struct sealed sealed = {AT_FDCWD, target.interpreter, NULL};
    if (sealing)
        sealed = seal_interpreter(&target);

    char **arguments = make_arguments(&target, argc, argv);
    char **environment = make_environment(&target, argc > 0 ? argv[0] : "pyoci", mask, sealed.how);
    syscall(SYS_execveat, sealed.directory, sealed.name, arguments, environment, *sealed.name ? 0 : AT_EMPTY_PATH);
    fail("cannot execute ", target.interpreter, errno);
}
