"""What a reader of kernels should know of the members."""

from thalweg.population import Population


def remarks_on_members(population: Population) -> tuple[str, ...]:
    """Sentences on members that are not finite, and on masks.

    >>> import thalweg as tw
    >>> from thalweg.ntk.remarks import remarks_on_members
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> networks = problem.initialize(2)
    >>> networks.theta[1] = float("nan")
    >>> remarks_on_members(networks)
    ('Not finite, so without a kernel: member 1.',)
    """
    remarks = []
    lost = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        remarks.append(f"Not finite, so without a kernel: member {', '.join(map(str, lost))}.")
    if population.mask is not None:
        remarks.append("Masked parameters are no part of it.")
    return tuple(remarks)
