"""Rules with conditions on arguments, compiled here and not by libseccomp.

libseccomp merges all rules of one call into a tree, and merges wrongly. 2.5.4 makes "arg0 < 5" and "arg0 >= 2^62"
together allow 2^32 - 1, "arg0 <= 1" and "arg0 < 2^32" together refuse 2^31, and never ends with "arg0 != 2^31 and
arg1 != 2" and "arg0 != 2^31 and arg2 & 5 == 1". Without a tree there is nothing to get wrong: one rule after the
other, the first that holds decides, and if none does, the default action.
"""

from __future__ import annotations

from pyoci.seccomp.bpf import (
    AND,
    IF_EQUAL,
    IF_GREATER,
    IF_GREATER_EQUAL,
    JUMP,
    LOAD,
    LOAD_NUMBER,
    RETURN,
    TO_PROGRAM,
    argument_offsets,
    audit_arch,
    prefix,
    width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.seccomp.bpf import Instruction

    Condition = tuple[int, int, int, int]  # argument's index, operator, value, value two
    Rule = tuple[int, list[Condition]]  # action, all conditions that must hold

__all__ = ["EQ", "GE", "GT", "LE", "LT", "MASKED_EQ", "NE", "conditions"]

NE, LT, LE, EQ, GE, GT, MASKED_EQ = range(1, 8)  # SCMP_CMP_*

_FAIL = -1  # skips: to the next rule; past this condition
_HOLD = -2


def conditions(calls: dict[int, dict[int, list[Rule]]], default: int) -> bytes:
    """BPF to put before a program. `calls`: SCMP_ARCH_* -> number -> rules in order; `default`: if none holds."""
    sections: dict[int, list[Instruction]] = {}
    for arch, numbers in calls.items():
        section = sections.setdefault(audit_arch(arch), [LOAD_NUMBER])
        for number, rules in sorted(numbers.items()):
            body = [item for rule in rules for item in _rule(rule, width(arch))]
            section += [(IF_EQUAL, 1, 0, number), (JUMP, 0, 0, len(body) + 1), *body, (RETURN, 0, 0, default)]
    for section in sections.values():
        section.append(TO_PROGRAM)
    return prefix(sections)


def _rule(rule: Rule, bits: int) -> list[Instruction]:
    """Return the action if all conditions hold, else fall through to what follows."""
    action, wanted = rule
    parts = [_condition(condition, bits) for condition in wanted]
    end = sum(len(part) for part in parts) + 1  # six conditions of six instructions: every skip fits 8 bits
    code: list[Instruction] = []
    for part in parts:
        hold = len(code) + len(part)
        for operation, if_true, if_false, k in part:
            targets = {_FAIL: end - len(code) - 1, _HOLD: hold - len(code) - 1}
            code.append((operation, targets.get(if_true, if_true), targets.get(if_false, if_false), k))
    return [*code, (RETURN, 0, 0, action)]


def _condition(condition: Condition, bits: int) -> list[Instruction]:
    index, operator, value, value_two = condition
    low, high = argument_offsets(index)
    code = _low(operator, low, value & 0xFFFFFFFF, value_two & 0xFFFFFFFF)
    return code if bits == 32 else [*_high(operator, high, value >> 32, value_two >> 32), *code]


def _high(operator: int, offset: int, value: int, value_two: int) -> list[Instruction]:
    """Decide by the upper half, or fall through where the lower one decides."""
    load: Instruction = (LOAD, 0, 0, offset)
    if operator == MASKED_EQ:
        return [load, (AND, 0, 0, value), (IF_EQUAL, 0, _FAIL, value_two & value)]
    if operator == EQ:
        return [load, (IF_EQUAL, 0, _FAIL, value)]
    if operator == NE:
        return [load, (IF_EQUAL, 0, _HOLD, value)]
    above, below = (_HOLD, _FAIL) if operator in (GT, GE) else (_FAIL, _HOLD)
    return [load, (IF_GREATER, above, 0, value), (IF_EQUAL, 0, below, value)]


def _low(operator: int, offset: int, value: int, value_two: int) -> list[Instruction]:
    load: Instruction = (LOAD, 0, 0, offset)
    if operator == MASKED_EQ:
        return [load, (AND, 0, 0, value), (IF_EQUAL, 0, _FAIL, value_two & value)]
    test: dict[int, Instruction] = {
        EQ: (IF_EQUAL, 0, _FAIL, value),
        NE: (IF_EQUAL, _FAIL, 0, value),
        GT: (IF_GREATER, 0, _FAIL, value),
        LE: (IF_GREATER, _FAIL, 0, value),
        GE: (IF_GREATER_EQUAL, 0, _FAIL, value),
        LT: (IF_GREATER_EQUAL, _FAIL, 0, value),
    }
    return [load, test[operator]]
