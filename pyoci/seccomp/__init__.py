"""linux.seccomp -> a BPF program that seccomp(2) takes, and the cache of such programs."""
