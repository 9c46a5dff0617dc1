"""The numbers of `events`, read from a container's cgroups."""
