"""Grokking: generalization long after fitting, how to time it, and the mechanism behind it."""
