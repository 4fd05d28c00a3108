"""Where the data lies that is shipped with the package: config/, neurons/, memory/, training/."""

from importlib import resources
from pathlib import Path

__all__ = ["shipped_data"]


def shipped_data() -> Path:
    """The folder with the shipped data: inside the wheel, or the checkout."""
    package = Path(str(resources.files("hal9")))
    inside = package / "_home"
    return inside if inside.is_dir() else package.parent
