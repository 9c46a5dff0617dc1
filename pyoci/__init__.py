"""pyoci: an OCI container runtime. This file imports nothing: every command pays for it."""

__version__ = "0.1.0"
