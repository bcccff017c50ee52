"""Attention."""

from thalweg.ntk.nodes.builder import Rule

RULES: dict[str, Rule] = {}
