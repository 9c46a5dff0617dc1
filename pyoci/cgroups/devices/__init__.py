"""linux.resources.devices: the files of v1, the BPF program of v2."""
