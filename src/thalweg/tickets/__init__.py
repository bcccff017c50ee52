"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

from thalweg.tickets.pack import Packed, pack, unpack
from thalweg.tickets.slicing import Sliced, sliced
from thalweg.tickets.slicing_cuts import unit_mask
from thalweg.tickets.slicing_dead import without_dead_units
from thalweg.tickets.slicing_plan import SlicingPlan

__all__ = ["Packed", "Sliced", "SlicingPlan", "pack", "sliced", "unit_mask", "unpack", "without_dead_units"]
