"""Takes the uncompressed kernel out of a bzImage: vmlinux.py VMLINUZ OUTPUT.

The place of the compressed part stands in the setup header (Documentation/arch/x86/boot.rst in the kernel's
sources: setup_sects at 0x1f1, payload_offset and payload_length at 0x248).
"""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
import sys


def payload(image: bytes) -> bytes:
    """The compressed kernel inside a bzImage."""
    (sectors,) = struct.unpack_from("<B", image, 0x1F1)
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((sectors or 4) + 1) * 512 + offset
    return image[start : start + length]


def uncompressed(data: bytes) -> bytes:
    """The kernel itself; the four bytes of its size that may follow the compressed data are left out."""
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return subprocess.run(["zstd", "-d", "-q", "-c"], input=data[:-4], stdout=subprocess.PIPE, check=True).stdout
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data[:-4])
    raise SystemExit(f"vmlinux.py: unknown compression {data[:6].hex()}")


def main() -> None:
    """Reads one file, writes the other."""
    with open(sys.argv[1], "rb") as file:
        kernel = uncompressed(payload(file.read()))
    if not kernel.startswith(b"\x7fELF"):
        raise SystemExit("vmlinux.py: no ELF file inside")
    with open(sys.argv[2], "wb") as file:
        file.write(kernel)


if __name__ == "__main__":
    main()
