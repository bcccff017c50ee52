"""Kernels as Gram matrices of every parameter's gradients, from the inputs and cotangents of its operations."""
