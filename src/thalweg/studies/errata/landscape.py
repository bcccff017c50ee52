"""Corrections of what the lecture says of the landscape."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="pca-share-of-a-random-walk",
        section="visualisation techniques: 2. PCA projections",
        lecture="The plane of two principal components shows the dominant directions of variation.",
        right="It does; but walks and losses without structure have such too, and the plane is not where the run was.",
        why=(
            "Component k of a long random walk in many dimensions holds 6/(pi k)^2 of its squared distance from the "
            "mean: 61 % and 15 %, 76 % together. And descent on a loss that is equally curved in all directions goes "
            "straight to the minimum: but for noise the first component holds all. So a large share says nothing by "
            "itself; that the second holds much of what the first leaves says that the way bends, or that its noise "
            "has preferred directions. And the loss is drawn where the run is projected to, which is not its own loss."
        ),
        source="Antognini & Sohl-Dickstein (2018), arXiv:1806.08805; measured by LAN1",
        claims=("LAN1",),
    ),
    Correction(
        id="filter-normalization-scope",
        section="visualisation techniques: 4. filter normalisation (Li et al. 2018)",
        lecture="delta * |theta| / |delta|, with one norm for the whole vector, is scale-invariant.",
        right="Each filter of the direction gets the norm of that filter of theta, with normalization layers behind.",
        why=(
            "One norm for all leaves the proportions of filters in delta as they were drawn: multiply one filter by 10 "
            "and divide it out again in the next layer, and the same step is ten times smaller relative to it. Norms "
            "by filter undo the scales of whole filters, if the statistics of normalization layers are recomputed; not "
            "those of single units of a ReLU network, whose outgoing weights shrink as they grow."
        ),
        source="Li et al. (2018), arXiv:1712.09913, section 4; measured by LAN2, the formula as printed too",
        claims=("LAN2",),
    ),
    Correction(
        id="sharp-minima-by-rescaling",
        section="sharp vs flat minima",
        lecture="Sharp minima generalize poorly, flat minima well.",
        right="Among networks as training leaves them this can be seen; of minima as such it is not true.",
        why=(
            "In a ReLU network multiply what enters a layer by a and divide what leaves it by a: the function and the "
            "test error stay, and second derivatives by the first weights change by 1/a^2, by the others by a^2. So "
            "every minimum is as sharp as one likes. Measures relative to the parameters do not see it."
        ),
        source="Dinh et al. (2017), arXiv:1703.04933; Kwon et al. (2021), arXiv:2102.11600",
        claims=("LAN3",),
    ),
    Correction(
        id="smooth-is-not-quadratic",
        section="width effect on landscape",
        lecture="Narrow networks are chaotic with isolated minima; wide ones are smooth with connected valleys.",
        right="Smooth is to be said of a measure (nearly convex on random lines), and isolated of a kind of way.",
        why=(
            "A curve can be convex and far from a parabola, as x^4 is. A barrier on the straight line between two "
            "minima says that this line is barred: a curved way may avoid it. And after equally many steps networks of "
            "different widths are at different losses: they are to be compared at one loss, trained at one rate."
        ),
        source="Li et al. (2018), arXiv:1712.09913; Garipov et al. (2018), arXiv:1802.10026",
        claims=("LAN4",),
    ),
    Correction(
        id="batch-size-and-rate",
        section="batch size effect on landscape",
        lecture="Small batches find flat minima and large ones sharp minima.",
        right="What a batch size finds depends on the learning rate that goes with it.",
        why=(
            "The noise of a step has variance lr^2/batch, and the steps that a way takes go as 1/lr: noise goes as "
            "lr/batch, so a rate that grows with the batch size leaves it as it was. And of networks that saw "
            "unequally many examples, the sharper need not err more."
        ),
        source="Keskar et al. (2017), arXiv:1609.04836; Jastrzębski et al. (2017), arXiv:1711.04623",
        claims=("LAN5",),
    ),
    Correction(
        id="bad-minima-exist",
        section="the geometry of optimisation: what is different in high-dimensionality",
        lecture="There are no local minima, mostly saddles.",
        right="Bad local minima exist; what can be tested is whether searches come upon them.",
        why=(
            "For small ReLU networks they are proven to exist, with the help of a computer. Searches from training "
            "runs and random points find no fair sample of all critical points: that none was found is no proof. That "
            "the lowest point found is no saddle is nearly so by the search: descent that is run until it hardly moves "
            "ends at such a point. And what is searched here has 59 or 162 parameters, since a Hessian is factored at "
            "every step: this is no high dimension."
        ),
        source="Safran & Shamir (2018), arXiv:1712.08968; Dauphin et al. (2014), arXiv:1406.2572",
        claims=("LAN6",),
    ),
    Correction(
        id="equidistant-if-random",
        section="the geometry of optimisation: what is different in high-dimensionality",
        lecture="All points are equidistant.",
        right="Points drawn at random, such as Gaussian ones or fresh networks, nearly are; those of one run are not.",
        why=(
            "The distance of two Gaussian points in d dimensions has a relative spread of about sqrt(1/(2 d)): 7.1 % "
            "at d = 100, 0.71 % at 10,000. Points of one run lie along its path: neighbors in time are neighbors."
        ),
        source="counted from the chi distribution; measured by LAN7, points of one run too",
        claims=("LAN7",),
    ),
)
