"""The check every net makes of its sizes."""

from thalweg.errors import UsageError


def check_sizes(net: str, sizes: dict[str, int]) -> None:
    """Raise UsageError naming the first size that is not an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            msg = f"{net} needs {name} to be an integer of at least 1; got {size!r}."
            raise UsageError(msg)
