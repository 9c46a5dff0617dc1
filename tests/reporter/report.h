#ifndef REPORT_H
#define REPORT_H

/* Everything the process can see of itself, and of the files named in paths (NULL-terminated), as one JSON object. */
void report(char **argv, char **paths);

/* sched_attr and memory_policy, as two members of the object. */
void report_scheduling(void);

/* errno as a name: "EPERM"; "0" for 0. */
const char *error_name(int error);

#endif
