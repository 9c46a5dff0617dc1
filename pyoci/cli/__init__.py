"""The command line: one module for each command, which reads its arguments and prints, and nothing else."""
