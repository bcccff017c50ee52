"""One self-contained page from the results of studies."""

from thalweg.report.page import page, write

__all__ = ["page", "write"]
