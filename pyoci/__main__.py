"""`python -m pyoci`, and what the launcher executes where the build made no start.*.pyc for its interpreter."""

import sys

if __name__ == "__main__":
    directory = __file__.rpartition("/pyoci/")[0] or "/"
    if not __package__:  # run as a file: -I keeps the package's directory out of sys.path
        sys.path.append(directory)
    from pyoci import pack

    pack.start(directory)
