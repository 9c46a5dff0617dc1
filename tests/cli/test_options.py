from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.commands import COMMANDS, GLOBAL, VERSION
from pyoci.cli.options import (
    BOOL,
    DURATION,
    HELP,
    IDS,
    INT,
    STRING,
    STRINGS,
    Command,
    Flag,
    check_count,
    defaults,
    parse_bool,
    scan,
)
from pyoci.errors import UsageError

FLAGS = (
    Flag(names=("bundle", "b"), usage=""),
    Flag(names=("force", "f"), kind=BOOL, usage="", default=False),
    Flag(names=("count",), kind=INT, usage="", default=0),
    HELP,
)


def read(*argv: str, interleaved: bool = True) -> tuple[dict[str, object], list[str]]:
    values = defaults(FLAGS)
    rest = scan(FLAGS, list(argv), values, set(), interleaved=interleaved)
    return dict(values), rest


def refused(*argv: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(*argv)
    return caught.value.message


# -- laws ------------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda word: word[:1] != "-")


@st.composite
def settings(draw: st.DrawFn) -> list[tuple[str, object]]:
    """What to say on a command line: (long name, value), in order."""
    one = st.one_of(
        st.tuples(st.just("bundle"), text),
        st.tuples(st.just("force"), st.booleans()),
        st.tuples(st.just("count"), st.integers(-(2**63), 2**63 - 1)),
    )
    return draw(st.lists(one, max_size=5))


@st.composite
def spelling(draw: st.DrawFn, name: str, value: object) -> list[str]:
    """One of the ways to say `name` is `value`."""
    word = draw(st.sampled_from([alias for flag in FLAGS if flag.names[0] == name for alias in flag.names]))
    word = draw(st.sampled_from(["-", "--"])) + word
    if value is True:
        return [word + draw(st.sampled_from(["", "=", "=1", "=t", "=T", "=true", "=TRUE", "=True"]))]
    if value is False:
        return [word + "=" + draw(st.sampled_from(["0", "f", "F", "false", "FALSE", "False"]))]
    if isinstance(value, int):
        value = draw(st.sampled_from([str(value), hex(value), oct(value), bin(value)]))
    return draw(st.sampled_from([[word, str(value)], [f"{word}={value}"]]))


@given(settings(), st.lists(words, max_size=3), st.data())
def test_all_spellings_and_orders_mean_the_same(
    said: list[tuple[str, object]], arguments: list[str], data: st.DataObject
) -> None:
    """Of several the last wins; arguments may stand anywhere, and keep their order."""
    chunks = [data.draw(spelling(name, value)) for name, value in said]
    places = sorted(data.draw(st.integers(0, len(chunks))) for _ in arguments)
    line: list[str] = []
    for index in range(len(chunks) + 1):
        line += [word for place, word in zip(places, arguments, strict=True) if place == index]
        line += chunks[index] if index < len(chunks) else []
    values, rest = read(*line)
    assert values == defaults(FLAGS) | dict(said)
    assert rest == arguments


@given(settings(), st.lists(text, max_size=4), st.data())
def test_nothing_behind_the_double_dash_is_a_flag(
    said: list[tuple[str, object]], tail: list[str], data: st.DataObject
) -> None:
    line = [word for name, value in said for word in data.draw(spelling(name, value))]
    assert read(*line, "--", *tail) == (defaults(FLAGS) | dict(said), tail)


@given(st.lists(text, max_size=4), words)
def test_not_interleaved_the_first_argument_ends_the_flags(tail: list[str], word: str) -> None:
    assert read("--force", word, *tail, interleaved=False) == (defaults(FLAGS) | {"force": True}, [word, *tail])


@given(st.lists(text, max_size=6))
def test_any_arguments_are_read_or_refused(argv: list[str]) -> None:
    try:
        _, rest = read(*argv)
    except UsageError:
        return
    assert all(word in argv for word in rest)


@given(st.text(st.sampled_from("0123456789_xobXabcf+- ٣"), max_size=6))
def test_integers_are_go_s(number: str) -> None:
    """Base 0 of Go is base 0 of Python, but a leading 0 is octal and blanks and other scripts' digits are not taken."""
    digits = number.lstrip("+-") if number[:2] not in ("++", "--", "+-", "-+") else "bad"
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_"
    try:
        if not digits or not digits.isascii() or " " in digits or digits[0] == "_":
            raise ValueError
        wanted = int(digits, 8 if octal else 0) * (-1 if number[0] == "-" else 1)
    except ValueError:
        assert refused(f"--count={number}") == f'invalid value "{number}" for flag -count: parse error'
    else:
        assert read(f"--count={number}")[0]["count"] == wanted


# -- single facts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--bogus"], "flag provided but not defined: -bogus"),
        (["-bogus=1"], "flag provided but not defined: -bogus"),
        (["-fb", "x"], "flag provided but not defined: -fb"),
        (["-9", "x"], "flag provided but not defined: -9"),
        (["---x"], "bad flag syntax: ---x"),
        (["--=x"], "bad flag syntax: --=x"),
        (["-=x"], "bad flag syntax: -=x"),
        (["--bundle"], "flag needs an argument: -bundle"),
        (["x", "-b"], "flag needs an argument: -b"),
        (["--force=yes"], 'invalid boolean value "yes" for -force: parse error'),
        (["--count", "abc"], 'invalid value "abc" for flag -count: parse error'),
        (["--count="], 'invalid value "" for flag -count: parse error'),
        (["--count", "9223372036854775808"], 'invalid value "9223372036854775808" for flag -count: value out of range'),
        (['--count=a"b'], 'invalid value "a\\"b" for flag -count: parse error'),
    ],
)
def test_texts_of_errors(argv: list[str], message: str) -> None:
    assert refused(*argv) == message


@pytest.mark.parametrize(("number", "value"), [("010", 8), ("0x10", 16), ("1_0", 10), ("-1", -1), ("+3", 3), ("0", 0)])
def test_base_is_in_the_prefix(number: str, value: int) -> None:
    assert read("--count", number)[0]["count"] == value


def test_a_value_may_look_like_a_flag() -> None:
    assert read("--bundle", "--force", "x") == (defaults(FLAGS) | {"bundle": "--force"}, ["x"])


def test_behind_an_argument_an_unknown_flag_is_an_argument() -> None:
    """`kill ID -9`"""
    assert read("id", "-9", "--force", "--bogus") == (defaults(FLAGS) | {"force": True}, ["id", "-9", "--bogus"])


REPEATED = (
    Flag(names=("env", "e"), kind=STRINGS, usage="", default=()),
    Flag(names=("gid", "g"), kind=IDS, usage="", default=()),
)


@given(st.lists(st.tuples(st.sampled_from(["--env", "-e"]), text), max_size=5))
def test_a_repeated_flag_keeps_every_value_as_it_is(said: list[tuple[str, str]]) -> None:
    values = defaults(REPEATED)
    line = [word for pair in said for word in pair]
    assert scan(REPEATED, [*line, "id", "-e", "x"], values, set(), interleaved=False) == ["id", "-e", "x"]
    assert values == {"env": tuple(value for _, value in said), "gid": ()}


@given(st.text(st.sampled_from("0123456789_x -+٣"), max_size=5))
def test_ids_are_digits(number: str) -> None:
    """runc 1.6 reads 010 as 8 and " 7" as 7."""
    values = defaults(REPEATED)
    if number and not number.strip("0123456789"):
        scan(REPEATED, ["-g", number, "--gid=5"], values, set(), interleaved=False)
        assert values["gid"] == (number, "5")
        return
    with pytest.raises(UsageError) as caught:
        scan(REPEATED, ["-g", number], values, set(), interleaved=False)
    assert caught.value.message == f'invalid value "{number}" for flag -g: parse error'


def test_a_dash_alone_is_an_argument() -> None:
    assert read("-", "--force")[1] == ["-"]


def test_help_ends_the_scan() -> None:
    values, rest = read("x", "-h", "--bogus")
    assert values["help"] is True
    assert rest == ["x"]
    assert read("--help=false", "x")[1] == ["x"]


def test_what_was_read_before_an_error_stays() -> None:
    values = defaults(FLAGS)
    with pytest.raises(UsageError):
        scan(FLAGS, ["--bundle", "b", "--bogus", "--force"], values, set(), interleaved=True)
    assert values == defaults(FLAGS) | {"bundle": "b"}


def test_parse_bool_knows_only_go_s_words() -> None:
    assert [parse_bool(word) for word in ("1", "t", "0", "False", "", "yes", "tRUE")] == [
        True,
        True,
        False,
        False,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("low", "high", "count", "demand"),
    [
        (1, 1, 0, "exactly 1"),
        (1, 1, 2, "exactly 1"),
        (0, 0, 1, "exactly 0"),
        (1, 2, 0, "a minimum of 1"),
        (1, 2, 3, "a maximum of 2"),
    ],
)
def test_number_of_arguments(low: int, high: int, count: int, demand: str) -> None:
    command = Command(name="kill", usage="", minimum=low, maximum=high)
    with pytest.raises(UsageError) as caught:
        check_count(command, ["x"] * count, "/usr/bin/pyoci")
    assert caught.value.message == f'/usr/bin/pyoci: "kill" requires {demand} argument(s)'
    for right in range(low, high + 1):
        check_count(command, ["x"] * right, "pyoci")


def test_a_stray_flag_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        check_count(COMMANDS["create"], ["id", "--bogus"], "pyoci")
    assert caught.value.hint == "--bogus is not an option of create"


def test_every_flag_has_a_default_of_its_kind_and_a_text() -> None:
    kinds = {BOOL: bool, STRING: str, INT: int, DURATION: int, STRINGS: tuple, IDS: tuple}
    for flag in (*GLOBAL, HELP, VERSION, *(flag for command in COMMANDS.values() for flag in command.flags)):
        assert type(flag.default) is kinds[flag.kind], flag
        assert flag.usage


def test_no_command_gives_a_name_two_meanings() -> None:
    for command in COMMANDS.values():
        names = [name for flag in (*command.flags, HELP) for name in flag.names]
        assert len(names) == len(set(names)), command.name
