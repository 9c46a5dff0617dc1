"""From the command line to one command, and from whatever goes wrong to one error and an exit status."""

from __future__ import annotations

import sys

from pyoci import environment, os, pack
from pyoci.cli import launch, root
from pyoci.cli.commands import COMMANDS, GLOBAL, HELP, MISSING, VERSION
from pyoci.cli.options import Options, check_count, defaults, parse_bool, scan
from pyoci.cli.output import ReaderGone, emit
from pyoci.errors import Error, UsageError, cannot_open, os_error_text, system_call
from pyoci.log import log, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from pyoci.cli.options import Command, Value
else:
    import _signal

UNKNOWN_COMMAND = 3  # runc's exit status
# What docker, podman, systemd and the cgroups call what a command does.
_OTHER_NAMES = {
    "rm": "delete",
    "remove": "delete",
    "destroy": "delete",
    "stop": "kill",
    "signal": "kill",
    "inspect": "state",
    "status": "state",
    "ls": "list",
    "top": "ps",
    "stats": "events",
    "freeze": "pause",
    "thaw": "resume",
    "unfreeze": "resume",
    "unpause": "resume",
    "continue": "resume",
    "check": "validate",
    "init": "spec",
}


class _Bug(Error):
    """What nobody has foreseen: the only error of which --debug shows the traceback."""


def run(argv: list[str]) -> NoReturn:
    """Carry out the command line and end the process, without the interpreter's slow farewell."""
    try:
        status = main(argv)
    except KeyboardInterrupt:
        log.error(Error("interrupted"))
        _die_by(_signal.SIGINT)
    except ReaderGone:
        _die_by(_signal.SIGPIPE)
    os._exit(status)


def main(argv: list[str]) -> int:
    """The exit status of `pyoci ARGV`. Whatever is raised below becomes one logged error, never a traceback.

    Raises ReaderGone: there is nobody left to answer.
    """
    try:
        status = CommandLine(argv, launch.take()).carry_out()
        log.release()
        return status
    except ReaderGone:
        log.release()
        raise
    except Exception as problem:
        error = as_error(problem)
        if log.debugging and isinstance(error, _Bug):
            log.traceback(_traceback())
        log.error(error)
        return error.status


def _traceback() -> str:
    """That of the exception which is being handled."""
    try:
        import traceback

        return traceback.format_exc()
    except Exception as problem:  # Python has been upgraded under a command that took long; the error itself is told
        return f"no traceback: {problem}"


def as_error(problem: Exception) -> Error:
    """The Error that stands for any exception: itself, or one line for what nobody below has explained."""
    if isinstance(problem, Error):
        return problem
    if isinstance(problem, MemoryError):
        return Error("out of memory")
    if isinstance(problem, ImportError) and problem.name and problem.name.partition(".")[0] != "pyoci":
        return Error(
            f"the Python module {problem.name} cannot be imported: {problem.msg}",
            hint="Python was upgraded or a package removed since pyoci was installed: install pyoci again",
        )
    if isinstance(problem, OSError):
        return Error(os_error_text(problem), call=system_call(problem), errno=problem.errno or 0)
    trace = problem.__traceback__
    place = ""
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    text = str(problem).partition("\n")[0]
    return _Bug(
        f"internal error: {type(problem).__name__}: {text}",
        step=place,
        hint="this is a bug in pyoci; please report it with the output of the same command with --debug",
    )


class CommandLine:
    """One reading of the arguments: the values found so far are there for the log when a later argument is wrong."""

    def __init__(self, argv: list[str], invocation: launch.Invocation) -> None:
        self._argv = argv
        self._invocation = invocation
        self._default_root = root.default_root()
        self._values: dict[str, Value] = {**defaults(GLOBAL), "root": self._default_root}
        self._given: set[str] = set()

    def carry_out(self) -> int:
        """Do what the arguments say; the exit status. Raises Error, and whatever a command lets through."""
        try:
            rest = scan((*GLOBAL, HELP, VERSION), self._argv, self._values, self._given, interleaved=False)
        except UsageError as error:
            self._settle()
            self._usage(f"Incorrect Usage. {error.message}", None)
            raise
        if self._values.get("help"):
            return self._help(None)
        if self._values.get("version"):
            from pyoci.cli import version

            return version.main()
        if rest and rest[0] in ("help", "h"):
            topic = rest[1] if len(rest) > 1 and rest[1][:1] != "-" else ""
            return self._help(self._command(topic) if topic else None)
        if not rest:
            self._settle()
            return self._help(None)
        return self._run(self._command(rest[0]), rest[1:])

    def _run(self, command: Command, arguments: list[str]) -> int:
        self._values.update(defaults(command.flags))
        try:
            flags = (*command.flags, *GLOBAL, HELP)
            arguments = scan(flags, arguments, self._values, self._given, interleaved=command.interleaved)
        except UsageError as error:
            self._settle()
            self._usage(f"Incorrect Usage: {error.message}", command)
            raise
        if self._values.get("help"):
            return self._help(command)
        self._settle()
        try:
            check_count(command, arguments, self._invocation.argv0)
        except UsageError:
            self._usage("Incorrect Usage.", command)
            raise
        try:
            return self._call(command, arguments)
        except Exception as problem:
            if not command.failure:
                raise
            failed = as_error(problem).prefixed(command.failure)
            failed.status = failed.program_status or command.status
            raise failed from problem

    def _call(self, command: Command, arguments: list[str]) -> int:
        if command.sealed:
            launch.require_sealed(self._invocation, self._argv)
            if "root" not in self._given and self._default_root != root.SYSTEM:
                root.make_default_root(self._default_root)
        options = Options(
            values=self._values,
            arguments=tuple(arguments),
            given=frozenset(self._given),
            umask=self._invocation.umask,
            argv0=self._invocation.argv0,
        )
        pack.preload(command.name)
        module = __import__(f"pyoci.cli.{command.name}", fromlist=("main",))
        pack.hold(command.name)
        status: int = module.main(options)
        return status

    def _command(self, name: str) -> Command:
        """The command of that name; Error if there is none, once the log is ready for it."""
        command = COMMANDS.get(name)
        if command is not None:
            return command
        self._settle()
        if name in MISSING:
            raise Error(f'pyoci does not implement "{name}" yet')
        from pyoci.near import did_you_mean

        meant = _OTHER_NAMES.get(name.lower())
        near = f"did you mean {meant!r}?" if meant else did_you_mean(name, COMMANDS)
        hint = " ".join(filter(None, (near, "`pyoci help` lists the commands")))
        error = Error(f"No help topic for '{name}'", hint=hint)
        error.status = UNKNOWN_COMMAND
        raise error

    def _settle(self) -> None:
        """Put the global flags into effect: the log first, so that it receives the errors of the others."""
        values = self._values
        form, path = str(values["log-format"]), str(values["log"])
        try:
            log.configure(path, form == "json", values["debug"] is True, _first_own_descriptor(values))
        except OSError as error:
            raise cannot_open(path, error, "--log") from None
        if form not in ("", "text", "json"):
            raise Error(f"invalid log-format: {form}", pointer="--log-format", hint="it is text or json")
        if "root" in self._given:
            values["root"] = root.absolute(str(values["root"]))
        if isinstance(values["rootless"], str):  # that of `spec` is a bool
            values["rootless"] = _rootless(values["rootless"])

    def _help(self, command: Command | None) -> int:
        from pyoci.cli import help

        emit(help.root_help(self._default_root) if command is None else help.command_help(command))
        return 0

    def _usage(self, line: str, command: Command | None) -> None:
        """What runc prints on standard output before a usage error; if that is closed, the error still comes."""
        try:
            emit(f"{line}\n\n")
            self._help(command)
        except Error:
            pass


def _rootless(text: str) -> str:
    """One of "auto", "true", "false"; Error for anything else, in the words of runc's strconv."""
    if text.lower() in ("", "auto"):
        return "auto"
    value = parse_bool(text)
    if value is None:
        raise Error(
            f"strconv.ParseBool: parsing {quote(text)}: invalid syntax",
            pointer="--rootless",
            hint="it is true, false or auto",
        )
    return "true" if value else "false"


def _first_own_descriptor(values: dict[str, Value]) -> int:
    """3 and the descriptors that are passed on: the first number that a descriptor of our own may have."""
    given = values.get("preserve-fds", 0)
    preserved = max(0, given) if isinstance(given, int) else 0
    listening = environment.variable("LISTEN_FDS")
    return 3 + preserved + (int(listening) if listening.isascii() and listening.isdigit() else 0)


def _die_by(number: int) -> NoReturn:
    """End by the signal itself: a shell stops a loop only if the command died of SIGINT, and is silent of SIGPIPE."""
    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 + number)
