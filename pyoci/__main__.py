"""`python -m pyoci`, and what the launcher executes where the build made no start.*.pyc for its interpreter."""

import sys

if __name__ == "__main__":
    if __package__:
        from pyoci.pack import start

        start()
    else:  # run as a file: -I keeps the package's directory out of sys.path
        directory = __file__.rpartition("/pyoci/")[0] or "/"
        sys.path.append(directory)
        from pyoci.pack import start

        start(directory)
