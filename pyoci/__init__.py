"""pyoci: an OCI container runtime. This file imports nothing: every command pays for it."""

__version__ = "0.1.0"
SPEC_VERSION = "1.3.0"  # of the runtime specification that is implemented
