"""The steps of the runtime: before there is a process, and to that process from outside."""
