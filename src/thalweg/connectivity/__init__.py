"""Paths between networks: lines, curves, permutations, and where training parts ways."""
