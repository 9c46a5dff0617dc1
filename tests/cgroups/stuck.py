"""A process that cannot be frozen: it waits, inside the kernel, for a FUSE file system that does not answer.

Run as a program, with a directory to work in. In a mount namespace of its own it mounts the file system, prints the pid
of the process that is stuck there, and lets that go when standard input ends.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

_IN = "=IIQQIIIHH"  # struct fuse_in_header
_INIT = struct.Struct("=IiQIIIIHHIIHHI28x")  # struct fuse_out_header and struct fuse_init_out of protocol 7.31


def main() -> None:
    """Open, mount, answer the first request (FUSE_INIT) and no other."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = f"{sys.argv[1]}/stuck"
    os.mkdir(place)
    if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None):
        raise OSError(ctypes.get_errno(), "unshare")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"stuck", place.encode(), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    _, _, unique, *_ = struct.unpack_from(_IN, os.read(device, 65536))
    os.write(device, _INIT.pack(_INIT.size, 0, unique, 7, 31, 0, 0, 0, 0, 4096, 0, 0, 0, 0))
    child = os.fork()
    if child == 0:
        os.close(device)
        try:
            os.listdir(place)
        except OSError:
            pass
        os._exit(0)
    os.read(device, 65536)  # the child's request, which is not answered
    print(child, flush=True)
    sys.stdin.read()
    os.close(device)  # now it is: ENOTCONN
    os.waitpid(child, 0)
    libc.umount2(place.encode(), 2)
    os.rmdir(place)


if __name__ == "__main__":
    main()
