"""A profile with hundreds of thousands of names or rules is compiled, or refused, at once."""

from __future__ import annotations

import time

import pytest

from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule
from pyoci.errors import ConfigError
from pyoci.seccomp.profile import compile

KNOWN = ("read", "write", "open", "close", "stat", "fstat", "lseek", "mmap", "brk", "ioctl", "execve", "exit_group")


def profile(*rules: SyscallRule) -> Seccomp:
    return Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=rules)


def allow(names: tuple[str, ...], *args: SyscallArg) -> SyscallRule:
    return SyscallRule(pointer="/r", names=names, action="SCMP_ACT_ALLOW", args=args)


def test_names_again_and_again_are_compiled_at_once_and_change_nothing() -> None:
    """libseccomp goes through all rules to add one: 300,000 took 100 s, and the time grew with the square."""
    start = time.process_time()
    assert compile(profile(allow(KNOWN * 40_000))) == compile(profile(allow(KNOWN)))
    assert time.process_time() - start < 40


def test_more_conditions_than_the_kernel_takes_instructions_are_refused_before_they_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule = allow(("socket",) * 4097, SyscallArg(index=0, value=1, op="SCMP_CMP_EQ"))
    monkeypatch.setattr("pyoci.seccomp.conditions.conditions", None)
    with pytest.raises(ConfigError) as caught:
        compile(profile(rule))
    assert caught.value.message == "unable to init seccomp: error loading seccomp filter into kernel: invalid argument"
    assert caught.value.hint == "the profile has 4097 lists of conditions, the kernel takes 4096 instructions"
    with pytest.raises(TypeError):  # one less is compiled, which is not there to do it
        compile(profile(allow(rule.names[1:], *rule.args)))
