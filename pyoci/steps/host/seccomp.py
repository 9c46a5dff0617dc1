"""The seccomp filter, compiled before there is a process."""

from __future__ import annotations

from pyoci.config.seccomp import Seccomp
from pyoci.kernel.seccomp import prepare
from pyoci.log import log
from pyoci.seccomp import program
from pyoci.steps.host.context import HostContext, HostStep


class CompileFilter(HostStep):
    """Turn linux.seccomp into a BPF program, or find it in the cache, before there is a process that waits for it."""

    pointer: str = "/linux/seccomp"
    seccomp: Seccomp
    told: bool = False  # what is odd about it: by create, to whoever calls exec

    def describe(self) -> str:
        return f"compile the seccomp filter of {sum(len(rule.names) for rule in self.seccomp.syscalls)} rules"

    def execute(self, context: HostContext) -> None:
        found = program.program(self.seccomp, context.root)
        for line in () if self.told else found.warnings:
            log.warning(line)
        context.init.filter = prepare(found.bpf), found.flags
