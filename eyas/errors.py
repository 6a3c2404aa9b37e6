"""The three families of errors that Eyas raises for people to read.

Each message says what was wrong, where (layer, file or field) and what would be accepted.
"""


class EyasError(Exception):
    """Base of every error that Eyas raises on purpose; the CLI prints it as one line."""


class ConfigError(EyasError):
    """A configuration, mapping or command that the hardware cannot hold."""


class ModelError(EyasError):
    """A model, program file or input tensor that cannot be used."""


class LinkError(EyasError):
    """A simulator, tool or board that does not answer as it should."""
