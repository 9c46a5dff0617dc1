"""The steps of the container's process and of stage 1, from the clone to the program."""
