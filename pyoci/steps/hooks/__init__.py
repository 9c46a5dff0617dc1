"""Running hooks, by the runtime and by the container's process (config.md, "POSIX-platform Hooks")."""
