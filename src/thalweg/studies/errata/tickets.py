"""Corrections of what the lecture says of lottery tickets."""

from thalweg.studies.errata.correction import Correction

_SECTION = "Lottery Ticket Hypothesis"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="tickets-hardware",
        section=f"{_SECTION}: Practical Impact",
        lecture="Structured pruning is hardware-friendly, unstructured is hard to accelerate; 10x inference at 90 %.",
        right="A mask saves nothing; units that are cut out do, and so do weights in a sparse format, at a price.",
        why=(
            "A product with zeros takes as long as any other. Cutting out 75 % of the units of wide layers leaves a "
            "sixteenth of the products. In CSR with indices of 32 bits, on the left, a tenth of the weights is about "
            "twice as fast, and 98 % of them must go for five times. With b bits a value, b d + H(d) bits a weight at "
            "density d is the least for a file: 8.7 times less than dense at d = 0.1 and 32 bits."
        ),
        source="pytorch/pytorch#56959 (indices of 32 bits); pytorch/tutorials#905; measured by LTH8",
        claims=("LTH8",),
    ),
    Correction(
        id="tickets-combinatorics",
        section=f"{_SECTION}: the combinatorial argument",
        lecture="C(10^6, 10^5) = n^k / k! = 10^250,000 subnetworks, so that even with p = 10^-100 there are winners.",
        right="It is 10^141,178.9, and the argument shows nothing: subnetworks are not independent draws.",
        why=(
            "n^k / k! is near only for k far below sqrt(n); here it is 10^143,427. Two random subnetworks of a tenth "
            "share a tenth of their weights, and p is not known. With independence anything is certain that has a "
            "probability above 10^-141,179. Theorems on strong tickets need a width and a target network instead."
        ),
        source="Malach et al. (2020), arXiv:2002.00585; Pensia et al. (2020), arXiv:2006.07990; computed by LTH10",
        claims=("LTH10",),
    ),
)
