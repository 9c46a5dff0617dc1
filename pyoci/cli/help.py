"""Help texts, in the layout of runc 1.5 (test suites look for `NAME:` and `pyoci COMMAND`)."""

from __future__ import annotations

from pyoci import __version__
from pyoci.cli.commands import COMMANDS, GLOBAL, HELP, VERSION
from pyoci.cli.options import BOOL, DURATION, Command, Flag

_ABOUT = """\
pyoci - a runtime for containers as the Open Container Initiative specifies them

A container is made from a bundle: a directory with the file config.json, which
says what to run and how, and usually with the container's root filesystem.

    pyoci spec                            writes a config.json to start from
    pyoci validate                        says what is wrong with it
    pyoci run [-b BUNDLE] <container-id>  runs it

The container's id is your choice; no two containers below one --root share it."""

_DETAILS = {
    "create": """\
   The create command sets up everything that config.json asks for and stops just
before the container's program; "pyoci start" runs that. If anything fails,
nothing is left behind.""",
    "start": """\
   The start command lets a created container run its program.""",
    "state": """\
   The state command prints the state of a container as JSON.""",
    "kill": """\
   The signal is a number or a name, with or without SIG: 9, KILL, SIGKILL.""",
    "delete": """\
   The delete command removes a container's processes, cgroups and directory. One
that still runs is refused unless --force is given.""",
    "run": """\
   The run command creates a container, starts it, waits for its end, deletes it and
exits with the program's status, or with 128 and the number of the signal that
killed it. It exits with 255 if the program cannot be executed, and with 1 if the
container cannot be created.""",
    "pause": """\
   The pause command freezes all processes of a container at once. They do not
notice, and keep their memory; "pyoci resume" lets them go on.""",
    "resume": """\
   The resume command lets the processes of a paused container go on.""",
    "ps": """\
   The ps command runs "ps" of the host and prints its lines about the container's
processes. What follows the container's id are its options, "-ef" if there are
none. With --format json it prints the process ids, as the host numbers them.""",
    "list": """\
   The list command shows the containers that have their state below --root.""",
    "exec": """\
   The exec command runs one more process in a container that runs, or waits for
start. What it is comes from `process` of the bundle's config.json as it is now, with
the changes that flags name, or from the file named by --process. The exit status is
the program's, 128 and its signal if it died of one; 255 if it did not run.""",
    "events": """\
   The events command prints one JSON object on each line: what the container uses
("type":"stats"), every --interval, and, as soon as the kernel kills one of its
processes for want of memory, "type":"oom". It ends with the container.""",
    "update": """\
   The update command changes limits of a container that is created, running or
paused. Those that are not named stay as they are. The file of --resources holds
one JSON object: the members memory, cpu, blockIO, pids, unified and devices of
linux.resources in config.json. If the kernel refuses one value, all keep their
old one.""",
    "spec": """\
   The spec command writes config.json into the bundle; it does not replace one that
is there. It runs "sh" in the directory "rootfs", read-only, with a terminal. To
run something else, change "args"; without a terminal, set "terminal" to false.""",
    "features": """\
   The features command prints what this runtime can do, in the format of features.md
of the OCI runtime specification.""",
    "plan": """\
   The plan command prints every step from the first that is made to the program, in
order, each with the JSON pointer of the property that asks for it. It changes
nothing and needs no privilege.""",
    "validate": """\
   The validate command prints every violation of the specification that config.json
holds, with its JSON pointer, and warns of what is deprecated, contradicts itself or
means nothing. Of what has to do with a value of the wrong form nothing else is told
until that is right. The exit status is 1 if there is any violation.""",
}


def root_help(root: str) -> str:
    """What `pyoci` alone prints. root: the default of --root."""
    width = max(map(len, COMMANDS)) + 2
    commands = "".join(f"   {command.name:<{width}}{command.usage}\n" for command in COMMANDS.values())
    commands += f"   {'help, h':<{width}}show this list, or help for one command\n"
    return (
        f"NAME:\n   {_ABOUT}\n\nUSAGE:\n   pyoci [global options] command [command options] [arguments...]\n"
        f"\nVERSION:\n   {__version__}\n\nCOMMANDS:\n{commands}"
        f"\nGLOBAL OPTIONS:\n{_flags((*GLOBAL, HELP, VERSION), root)}"
    )


def command_help(command: Command) -> str:
    """What `pyoci COMMAND --help` prints."""
    options = " [command options]" if any(not flag.hidden for flag in command.flags) else ""
    text = (
        f"NAME:\n   pyoci {command.name} - {command.usage}\n"
        f"\nUSAGE:\n   pyoci {command.name}{options} {command.arguments}".rstrip()
        + f"\n\nDESCRIPTION:\n{_DETAILS[command.name]}\n"
    )
    return f"{text}\nOPTIONS:\n{_flags((*command.flags, HELP))}"


def _flags(flags: tuple[Flag, ...], root: str = "") -> str:
    rows = [(_spelling(flag), flag.usage + _default(flag, root)) for flag in flags if not flag.hidden]
    width = max(len(spelling) for spelling, _ in rows) + 2
    return "".join(f"   {spelling:<{width}}{usage}\n" for spelling, usage in rows)


def _spelling(flag: Flag) -> str:
    value = "" if flag.kind == BOOL else " value"
    return ", ".join(f"{'--' if len(name) > 1 else '-'}{name}{value}" for name in flag.names)


def _default(flag: Flag, root: str) -> str:
    default = root if flag.names[0] == "root" else flag.default
    if flag.kind == BOOL or default in ("", (), 0):  # 0 stands for "not given" with most, and says nothing with others
        return ""
    if flag.kind == DURATION and isinstance(default, int):
        return f" (default: {default // 10**9}s)"
    return f' (default: "{default}")' if isinstance(default, str) else f" (default: {default})"
