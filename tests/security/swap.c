/* swap A B: exchanges the two names, as fast as the kernel does it, until SIGTERM; then prints how often it did.
 * The attacker of every race test: what A is when it is looked at is not what it is when it is used. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, stop);
    if (write(1, "\n", 1) != 1) /* here we go */
        return 2;
    unsigned long count = 0, busy = 0;
    while (!stopped) {
        if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE) == 0)
            count++;
        else if (errno == EBUSY || errno == ENOENT)
            busy++;
        else {
            perror("swap");
            return 1;
        }
    }
    printf("%lu %lu\n", count, busy);
    return 0;
}
