"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

from thalweg.tickets.slicing import Sliced, sliced
from thalweg.tickets.slicing_cuts import unit_mask
from thalweg.tickets.slicing_dead import without_dead_units
from thalweg.tickets.slicing_plan import SlicingPlan

__all__ = ["Sliced", "SlicingPlan", "sliced", "unit_mask", "without_dead_units"]
