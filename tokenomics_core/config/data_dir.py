"""The data directory: made only when a command is about to write into it."""

from __future__ import annotations

import os
from pathlib import Path

from tokenomics_core.config.errors import ConfigError
from tokenomics_core.config.schema import Config

_GITIGNORE = """\
# Nothing that holds a secret or a conversation belongs into a repository.
*.db
*.db-*
*.log
*.log.*
*.pid
.env
.env.*
certs/
keys/
memory/
sessions/
"""

_CONFIG = """\
admin:
  enabled: true
logging:
  level: info
  format: json
  proxy_log_file: proxy.log
"""


def prepare_data_dir(config: Config, *, with_config: bool = False) -> None:
    """Creates the data directory (0700) and its .gitignore; what is there already stays as it is.

    with_config: also writes a first config.yaml (0600). Only the server asks for it.
    Raises ConfigError when the directory cannot be made.
    """
    try:
        config.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(config.dir / ".gitignore", _GITIGNORE, 0o644)
        if with_config and not (config.dir / "config.yml").exists():
            _create(config.dir / "config.yaml", _CONFIG, 0o600)
    except OSError as error:
        reason = error.strerror or "cannot be written"
        raise ConfigError(f"data directory {config.dir}: {reason}; choose another one with --dir") from None


def _create(path: Path, text: str, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
