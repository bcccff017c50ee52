"""Bias, variance and noise: what the error of many fits is made of, and what averaging them removes."""
