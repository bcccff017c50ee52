"""The kinds of operations of a traced module, one file a family: how each is read, and what it does to kernels."""
