"""Text files of the configuration."""

from __future__ import annotations

from pathlib import Path

from tokenomics_core.config.errors import ConfigError


def read_text(path: Path) -> str:
    """The file's text; raises ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or 'cannot be read'}; check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
