"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

from thalweg.tickets import scores
from thalweg.tickets.allocation import Allocation, Blocks, ByLayer, ErdosRenyi, Global, NofM
from thalweg.tickets.controls import ARMS, MORE_ARMS, first_units, reinitialized, rescaled_to, with_signs
from thalweg.tickets.counting import log10_subnetworks
from thalweg.tickets.critical import CriticalSparsity, critical_sparsity
from thalweg.tickets.division import Division
from thalweg.tickets.early_bird import EarlyBird, corrected_overlap, early_bird
from thalweg.tickets.early_masks import EarlyMasks, early_masks
from thalweg.tickets.found import Search, TicketVerdict
from thalweg.tickets.in_rounds import prune_in_rounds
from thalweg.tickets.onnx_export import Exported, to_onnx
from thalweg.tickets.pack import Packed, pack, unpack
from thalweg.tickets.policy import Policy
from thalweg.tickets.receipt import Receipt, receipt
from thalweg.tickets.receipt_timing import Latencies, latencies
from thalweg.tickets.rewinding_map import RewindingMap, rewinding_map
from thalweg.tickets.rewinding_step import rewinding_step
from thalweg.tickets.scoring import by_magnitude
from thalweg.tickets.search import search
from thalweg.tickets.search_cost import SearchCost, search_cost
from thalweg.tickets.selection import EmptyLayerError, prune, select
from thalweg.tickets.share_of_gain import share_of_gain
from thalweg.tickets.shuffling import shuffled, shuffled_parts
from thalweg.tickets.slicing import Sliced, sliced
from thalweg.tickets.slicing_cuts import unit_mask
from thalweg.tickets.slicing_dead import without_dead_units
from thalweg.tickets.slicing_plan import SlicingPlan
from thalweg.tickets.stability import Stability, stability
from thalweg.tickets.supermask import Supermask, supermask
from thalweg.tickets.transfer import Transfer, transfer
from thalweg.tickets.units import Units
from thalweg.tickets.user_model import Prunable, prunable

__all__ = [
    "ARMS",
    "MORE_ARMS",
    "Allocation",
    "Blocks",
    "ByLayer",
    "CriticalSparsity",
    "Division",
    "EarlyBird",
    "EarlyMasks",
    "EmptyLayerError",
    "ErdosRenyi",
    "Exported",
    "Global",
    "Latencies",
    "NofM",
    "Packed",
    "Policy",
    "Prunable",
    "Receipt",
    "RewindingMap",
    "Search",
    "SearchCost",
    "Sliced",
    "SlicingPlan",
    "Stability",
    "Supermask",
    "TicketVerdict",
    "Transfer",
    "Units",
    "by_magnitude",
    "corrected_overlap",
    "critical_sparsity",
    "early_bird",
    "early_masks",
    "first_units",
    "latencies",
    "log10_subnetworks",
    "pack",
    "prunable",
    "prune",
    "prune_in_rounds",
    "receipt",
    "reinitialized",
    "rescaled_to",
    "rewinding_map",
    "rewinding_step",
    "scores",
    "search",
    "search_cost",
    "select",
    "share_of_gain",
    "shuffled",
    "shuffled_parts",
    "sliced",
    "stability",
    "supermask",
    "to_onnx",
    "transfer",
    "unit_mask",
    "unpack",
    "with_signs",
    "without_dead_units",
]
