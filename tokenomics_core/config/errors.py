"""ConfigError: what is wrong with the configuration, in one line."""


class ConfigError(Exception):
    """The configuration cannot be used.

    The message names the source and the key, says what to write instead, and never shows a secret.
    """
