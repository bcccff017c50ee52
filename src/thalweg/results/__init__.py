"""What Thalweg hands back: readings with their uncertainty, tables, and where they were made."""

from thalweg.results.provenance import Provenance
from thalweg.results.reading import Cost, Reading
from thalweg.results.table import Table

__all__ = ["Cost", "Provenance", "Reading", "Table"]
