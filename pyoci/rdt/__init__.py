"""linux.intelRdt where no step is taken: where a container is in resctrl, and what is counted there."""
