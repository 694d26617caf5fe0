"""Variables from .env files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from tokenomics_core.config.text_file import read_text


def load_dotenv_files(environ: Mapping[str, str], cwd: Path, home: Path) -> dict[str, str]:
    """The environment with what ``./.env`` and ``~/.tokenomics/.env`` add to it.

    A variable that is set stays, also when it is set to nothing: the process wins over ``./.env``, and that
    over the home directory. Values are taken as they stand, a ``$`` in a key is a dollar. Missing files are
    ignored; one that cannot be read raises ConfigError.
    """
    merged = dict(environ)
    for path in (cwd / ".env", home / ".tokenomics" / ".env"):
        if path.is_file():
            # Here, as most have no such file.
            from dotenv import dotenv_values

            values = dotenv_values(stream=io.StringIO(read_text(path)), interpolate=False)
            for name, value in values.items():
                if value is not None:
                    merged.setdefault(name, value)
    return merged
