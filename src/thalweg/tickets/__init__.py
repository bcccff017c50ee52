"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

from thalweg.tickets.onnx_export import Exported, to_onnx
from thalweg.tickets.pack import Packed, pack, unpack
from thalweg.tickets.receipt import Receipt, receipt
from thalweg.tickets.receipt_timing import Latencies, latencies
from thalweg.tickets.slicing import Sliced, sliced
from thalweg.tickets.slicing_cuts import unit_mask
from thalweg.tickets.slicing_dead import without_dead_units
from thalweg.tickets.slicing_plan import SlicingPlan

__all__ = [
    "Exported",
    "Latencies",
    "Packed",
    "Receipt",
    "Sliced",
    "SlicingPlan",
    "latencies",
    "pack",
    "receipt",
    "sliced",
    "to_onnx",
    "unit_mask",
    "unpack",
    "without_dead_units",
]
