"""A container's cgroup made by systemd (--systemd-cgroup): names, properties and calls on D-Bus."""
