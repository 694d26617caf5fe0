"""What the command line says when something goes wrong: one line with a remedy, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


class CommandError(Exception):
    """A command cannot do what was asked.

    details: further lines, shown indented. exit_code: what the program ends with.
    """

    exit_code = 1

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.details = details


class WrongUsage(CommandError):
    """The command line itself makes no sense; the command's usage is shown with it."""

    def __init__(self, message: str, context: Any) -> None:
        super().__init__(message)
        self.ctx = context


def guarded(program: Callable[[], object]) -> int:
    """Runs the program and gives its exit code: what it returned if that is a number, 0, or 1 after an error.

    With TOKENOMICS_DEBUG=1 in the environment, errors come through with their traceback.
    """
    try:
        code = program()
        # Here and not at exit, where a closed pipe could no longer be answered.
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # The reader has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error)
            return 0
        if os.environ.get("TOKENOMICS_DEBUG") == "1":
            raise
        _tell(error)
        return error.exit_code if isinstance(error, CommandError) else 1


def _tell(error: Exception) -> None:
    print(f"Error: {_message(error)}", file=sys.stderr)
    for detail in getattr(error, "details", ()):
        print(f"  {detail}", file=sys.stderr)
    context = getattr(error, "ctx", None)
    if context is not None:
        print(context.get_usage(), file=sys.stderr)
        print(f"See '{context.command_path} --help'.", file=sys.stderr)


def _message(error: Exception) -> str:
    # Typer brings its own copy of click or uses the installed one, by version: so by name, not by class.
    kind = type(error).__name__
    parameter = getattr(error, "param", None)
    if kind == "NoSuchOption":
        near = [option for option in getattr(error, "possibilities", None) or () if option.startswith("--")]
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"unknown flag: {getattr(error, 'option_name', '')}{hint}"
    if kind == "MissingParameter" and parameter is not None and parameter.param_type_name == "option":
        return f'required flag(s) "{max(parameter.opts, key=len).lstrip("-")}" not set'
    if hasattr(error, "format_message"):
        return str(error.format_message())
    if type(error).__module__.startswith("tokenomics_"):
        return str(error)
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        return f"{about}{error.strerror or kind}; check the path and its permissions"
    if isinstance(error, UnicodeError):
        return "an argument is not valid UTF-8; retype it"
    # Nobody wrote this message for people, and it may quote what must not be shown.
    return f"unexpected {kind}; run again with TOKENOMICS_DEBUG=1 to see where, and report it"
