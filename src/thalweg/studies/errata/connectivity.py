"""Corrections of what the lecture says of mode connectivity."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="different-minima",
        section="mode connectivity: the discovery",
        lecture="Different training runs find different minima.",
        right="No straight line of low loss joins their end points; that alone does not make them different.",
        why=(
            "Permute the hidden units of a network: the function is the same up to rounding, and the line to the "
            "permuted copy is high. So a high line says that two points of parameter space are apart, and whether two "
            "networks differ is to be asked of their outputs. Nor is every barrier one: max L minus the mean of the "
            "ends is above 0 on a convex loss too, wherever the ends differ in loss; max L minus the chord is not."
        ),
        source=(
            "Entezari et al. (2021), arXiv:2110.06296; Ainsworth et al. (2022), arXiv:2209.04836; measured by CON1, a "
            "convex model and permuted copies too"
        ),
        claims=("CON1",),
    ),
    Correction(
        id="linear-connectivity-needs-shared-training",
        section="mode connectivity: linear mode connectivity",
        lecture="L(theta_interpolated) is about L(theta_1) and L(theta_2).",
        right="Of networks that shared their first k steps and then saw other batches, with a k that is to be named.",
        why=(
            "Networks from different seeds are not linearly connected. Copies that part at step k are, from some k "
            "on, which depends on data and depth; at k near the last step they are for a trivial reason, as they have "
            "neither the time nor the rate left to part. So k must be early, or each copy must get a whole schedule "
            "of its own after it."
        ),
        source="Frankle et al. (2020), arXiv:1912.05671; measured by CON3, with fresh schedules too",
        claims=("CON3",),
    ),
    Correction(
        id="one-connected-manifold",
        section="mode connectivity: implication",
        lecture="The solution space is a connected manifold, not isolated points!",
        right="Where hidden units of sampled solutions are matched, little of their barriers is left (on digits).",
        why=(
            "Finitely many points cannot show that a set is connected, let alone a manifold. What can be measured: of "
            "two networks, permuting the hidden units of one removes most of the barrier between them, the more the "
            "wider they are. On data that are not interpolated much of it stays, and aligning two networks to a third "
            "does not align them with each other: the barrier between them is higher than that to it."
        ),
        source="Entezari et al. (2021), arXiv:2110.06296; Ainsworth et al. (2022), arXiv:2209.04836; measured by CON4",
        claims=("CON4",),
    ),
)
