"""What Thalweg hands back, draws and keeps: readings, figures, tables, and the store on disk."""

from thalweg.results.figure import Axis, Figure
from thalweg.results.marks import Bars, Contour, Density, HeatMap, Histogram, Line, Rule, Scatter, Surface, Trajectory
from thalweg.results.provenance import Provenance
from thalweg.results.reading import Cost, Reading
from thalweg.results.records import Record
from thalweg.results.statefile import load_state_file, save_state_file
from thalweg.results.store import Store
from thalweg.results.table import Table

__all__ = [
    "Axis",
    "Bars",
    "Contour",
    "Cost",
    "Density",
    "Figure",
    "HeatMap",
    "Histogram",
    "Line",
    "Provenance",
    "Reading",
    "Record",
    "Rule",
    "Scatter",
    "Store",
    "Surface",
    "Table",
    "Trajectory",
    "load_state_file",
    "save_state_file",
]
