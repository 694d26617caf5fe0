"""Lines that set variables, in each shell's own rules: evaluated, they set these values and run nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]*")

# PowerShell takes typographic quotes for the straight one.
_POWERSHELL_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")


class NotWritable(ValueError):
    """A value that no line of this format can hold so that all its readers agree."""


def posix(name: str, value: str) -> str:
    """sh, bash and zsh. Between single quotes nothing is special, not even a newline."""
    if _PLAIN.fullmatch(value):
        return f'export {name}="{value}"'
    return f"export {name}='" + value.replace("'", "'\\''") + "'"


def fish(name: str, value: str) -> str:
    """Between single quotes only the backslash and the quote itself are special."""
    return f"set -gx {name} '" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def powershell(name: str, value: str) -> str:
    """Between single quotes only quotes are special; a doubled one stands for itself."""
    return f"${{env:{name}}} = '" + _POWERSHELL_QUOTES.sub(lambda match: match[0] * 2, value) + "'"


def dotenv(name: str, value: str) -> str:
    """A line of a .env file, which programs, shells and containers read by rules of their own.

    Raises NotWritable for a value on which they do not agree.
    """
    if _PLAIN.fullmatch(value):
        return f'{name}="{value}"'
    # Between single quotes the readers differ in these: escapes, ends, and what stands for a variable.
    if not re.search(r"['\\\x00-\x1f\x7f]|\$\{", value):
        return f"{name}='{value}'"
    if not re.search(r'["\\$`!\x00-\x1f\x7f]', value):
        return f'{name}="{value}"'
    raise NotWritable(f"{name} has characters that .env files cannot hold safely")


_UNSET: dict[str, str] = {
    "fish": "set -e {}",
    "powershell": "Remove-Item Env:{} -ErrorAction Ignore",
}
_SHELLS: dict[str, Callable[[str, str], str]] = {
    "shell": posix,
    "bash": posix,
    "zsh": posix,
    "fish": fish,
    "powershell": powershell,
}
SHELLS = tuple(_SHELLS)


def script(shell: str, variables: Mapping[str, str], unset: Iterable[str] = ()) -> str:
    """What a shell has to evaluate: one of SHELLS. Ends with a newline."""
    lines = [_UNSET.get(shell, "unset {}").format(name) for name in unset]
    lines += [_SHELLS[shell](name, value) for name, value in variables.items()]
    return "".join(line + "\n" for line in lines)
