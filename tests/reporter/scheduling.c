/* How the kernel schedules the process, and where its memory comes from. */
#include "report.h"
#include "json.h"

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NODES 1024
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

/* sched_getattr(2); glibc has no header for it before 2.41. */
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

void report_scheduling(void) {
    struct attributes found = {0};
    json_open("sched_attr", '{');
    if (syscall(SYS_sched_getattr, 0, &found, sizeof found, 0) == 0) {
        json_unsigned("policy", found.policy);
        json_unsigned("flags", found.flags);
        json_number("nice", found.nice);
        json_unsigned("priority", found.priority);
        if (found.policy != SCHED_DEADLINE) /* since Linux 6.12 `runtime` is the time slice of the others */
            found.runtime = found.deadline = found.period = 0;
        json_unsigned("runtime", found.runtime);
        json_unsigned("deadline", found.deadline);
        json_unsigned("period", found.period);
    }
    json_close('}');
    unsigned long nodes[NODES / (8 * sizeof(long))] = {0};
    int mode = -1;
    syscall(SYS_get_mempolicy, &mode, nodes, (unsigned long)NODES, 0, 0);
    json_open("memory_policy", '{');
    json_number("mode", mode);
    json_open("nodes", '[');
    for (int i = 0; i < NODES; i++)
        if (nodes[i / (8 * sizeof(long))] >> i % (8 * sizeof(long)) & 1)
            json_number(NULL, i);
    json_close(']');
    json_close('}');
}
