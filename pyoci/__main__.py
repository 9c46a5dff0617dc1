"""The first file that runs. It is compiled anew at each start, so it only leads on to pyoci.cli.main."""

import gc
import sys

gc.disable()  # nothing lives long enough to be collected; it costs 2 ms of the imports alone

if not __package__:  # run as a file, by the launcher: -I keeps the package's directory out of sys.path
    directory = __file__.rpartition("/pyoci/")[0] or "/"
    sys.path.append(directory)

    from pyoci import pack

    pack.install(directory)
    pack.preload("main")

if __name__ == "__main__":
    try:
        from pyoci.cli.main import run

        run(sys.argv[1:])
    except KeyboardInterrupt:  # this early there is nothing to undo and nothing to tell
        sys.exit(130)
