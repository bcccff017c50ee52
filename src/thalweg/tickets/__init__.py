"""Lottery tickets: sparse subnetworks, how they are found and doubted, and what they save."""

__all__: list[str] = []
