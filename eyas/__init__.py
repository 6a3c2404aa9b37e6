"""Eyas: DNN inference accelerators, generated.

    session = eyas.Session("model.onnx", config="edge8x8", target="rtl")
    outputs = session.run(None, {"input": x})

The rest is in the packages hw, compiler, sim and host; see docs/architecture.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eyas.config import Config
    from eyas.host.session import Session

__version__ = "0.1.0"
__all__ = ["Config", "Session", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the public classes when they are first used, so that the command line stays quick."""
    if name == "Session":
        from eyas.host.session import Session

        return Session
    if name == "Config":
        from eyas.config import Config

        return Config
    raise AttributeError(f"module 'eyas' has no attribute {name!r}")
