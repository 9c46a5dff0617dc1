"""How a seccomp filter's listener gets to its agent (config-linux.md, "The Container Process State")."""
