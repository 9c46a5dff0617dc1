"""System calls and files of the kernel, by man page. Nothing here knows what a container is."""
