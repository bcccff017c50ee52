"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

from thalweg.tickets import scores
from thalweg.tickets.allocation import Allocation, Blocks, ByLayer, ErdosRenyi, Global, NofM
from thalweg.tickets.division import Division
from thalweg.tickets.in_rounds import prune_in_rounds
from thalweg.tickets.policy import Policy
from thalweg.tickets.selection import prune, select
from thalweg.tickets.units import Units

__all__ = [
    "Allocation",
    "Blocks",
    "ByLayer",
    "Division",
    "ErdosRenyi",
    "Global",
    "NofM",
    "Policy",
    "Units",
    "prune",
    "prune_in_rounds",
    "scores",
    "select",
]
