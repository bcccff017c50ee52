"""What Thalweg hands back: readings with their uncertainty, tables, and where they were made."""

from thalweg.results.cost import Cost
from thalweg.results.provenance import Provenance
from thalweg.results.reading import Reading
from thalweg.results.result import Result
from thalweg.results.spread import spread
from thalweg.results.summary import Summarized
from thalweg.results.table import Table

__all__ = ["Cost", "Provenance", "Reading", "Result", "Summarized", "Table", "spread"]
