"""linux.resources -> the files of cgroups and what is written to them, for v1 and v2."""
