"""hostname, domainname, linux.sysctl: values of the new namespaces."""

from __future__ import annotations

from pyoci.kernel import procfs
from pyoci.kernel.libc import c_char_p, c_size_t, function
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import failed

_sethostname = function("sethostname", c_char_p, c_size_t)
_setdomainname = function("setdomainname", c_char_p, c_size_t)


class SetHostname(InitStep):
    """sethostname(2): at most 64 bytes."""

    pointer: str = "/hostname"
    name: str

    def describe(self) -> str:
        return f"set the hostname {self.name}"

    def execute(self, context: InitContext) -> None:
        name = self.name.encode("utf-8", "surrogateescape")
        _sethostname(name, len(name))


class SetDomainname(InitStep):
    """setdomainname(2): the NIS domain name, at most 64 bytes."""

    pointer: str = "/domainname"
    name: str

    def describe(self) -> str:
        return f"set the domainname {self.name}"

    def execute(self, context: InitContext) -> None:
        name = self.name.encode("utf-8", "surrogateescape")
        _setdomainname(name, len(name))


class SetSysctl(InitStep):
    """Write one kernel parameter through the private procfs, in one write, without a newline."""

    key: str  # below /proc/sys, with slashes
    value: str

    def describe(self) -> str:
        return f"set the kernel parameter {self.key.replace('/', '.')} to {self.value}"

    def execute(self, context: InitContext) -> None:
        try:
            procfs.write(context.proc, f"sys/{self.key}", self.value)
        except FileNotFoundError as error:
            name = self.key.replace("/", ".")
            raise failed(self, error, f"the kernel has no parameter {name}, or not in this namespace") from None
