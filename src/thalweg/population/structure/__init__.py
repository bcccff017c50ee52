"""What one trace says of a model: operations in order, and units that may be exchanged."""

from thalweg.population.structure.groups import Slice, UnitGroup
from thalweg.population.structure.operation import Operation
from thalweg.population.structure.structure import Structure

__all__ = ["Operation", "Slice", "Structure", "UnitGroup"]
