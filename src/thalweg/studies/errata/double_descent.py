"""Corrections of what the lecture says of double descent."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="threshold-is-a-rank",
        section="the interpolation threshold: three regimes",
        lecture="The critical regime is where parameters are about as many as data, and only one solution fits.",
        right="It is where the procedure first meets every training label: of least squares, where rank reaches n.",
        why=(
            "K outputs that share N features have K N parameters for K n equations: the threshold is N = n, not K N = "
            "n. Features that repeat others add parameters and no rank. Of networks it depends on the optimizer, the "
            "steps and the noise. One solution alone fits only least squares at p = n; and a tuned penalty has no "
            "peak: at p = n and a signal-to-noise ratio of 5 the excess risk is infinite without and 1.79 sigma^2 "
            "with it."
        ),
        source="Belkin et al. (2019), arXiv:1812.11118; Nakkiran et al. (2019), arXiv:1912.02292; arXiv:2003.01897",
        claims=("DD1",),
    ),
    Correction(
        id="second-descent-below-the-first",
        section="modern double descent",
        lecture="If one keeps going past interpolation the test error falls again, below the classical minimum.",
        right="It falls again; whether below depends on the features, on label noise, and on how error is counted.",
        why=(
            "With isotropic inputs that all matter, and a signal-to-noise ratio of 5, the excess risk past the "
            "threshold is never below 2 sqrt(5) - 1 = 3.472 sigma^2, and at p = n/2 it is 1. With features of which "
            "each adds a little it goes below. DD2 measures from which share of wrong labels on it does not on digits, "
            "by squared error and by the share of wrong classes."
        ),
        source="Hastie et al. (2019), arXiv:1903.08560; Belkin, Hsu & Xu (2019), arXiv:1903.07571",
        claims=("DD2",),
    ),
    Correction(
        id="ridgeless-limit-is-finite",
        section="why double descent happens: mathematical intuition",
        lecture="(X'X + eps I)^-1 X'y goes to infinity in norm as eps goes to 0; past it X^+ is well conditioned.",
        right="For a given X the limit is X^+ y, which is finite; its expected squared norm diverges as p comes to n.",
        why=(
            "Each singular direction has the factor s/(s^2 + eps), which tends to 1/s. The expected sum of 1/s^2 is "
            "p/(n - p - 1) for n > p + 1 and infinite at p = n. The condition number of Gaussian inputs is about "
            "(sqrt g + 1)/(sqrt g - 1) at g = p/n: 10 at g = 1.5, 2 at g = 10, so good far beyond n alone. X'X is "
            "invertible for p <= n, and X X' for p >= n."
        ),
        source="Belkin, Hsu & Xu (2019), arXiv:1903.07571; Hastie et al. (2019), arXiv:1903.08560",
        claims=("DD3",),
    ),
    Correction(
        id="width-needs-noise-and-no-early-stopping",
        section="where double descent appears: model size (width, depth)",
        lecture="Double descent appears in model size.",
        right="In small networks with noisy labels that are trained to the end; not with early stopping.",
        why=(
            "A network that is just large enough to meet wrong labels bends most to do so. With clean labels its "
            "error has no such width, and the best step of every width is before the labels are met. The width of the "
            "peak goes with no count: it moves with noise, steps and rate."
        ),
        source="Nakkiran et al. (2019), arXiv:1912.02292, section 5; Greydanus & Kobak (2020), arXiv:2011.14439",
        claims=("DD4",),
    ),
    Correction(
        id="time-needs-separate-scales",
        section="where double descent appears: training time (epoch-wise)",
        lecture="Double descent appears in training time.",
        right="It does where features are learned on separate scales; small networks on noisy digits go up and stay.",
        why=(
            "Each direction i of least squares is fitted as 1 - (1 - rate s_i^2/n)^t. Directions of large variance are "
            "fitted, noise and all, before those of small variance begin to help. On one scale there is one descent."
        ),
        source="Heckel & Yilmaz (2020), arXiv:2007.10099",
        claims=("DD5",),
    ),
    Correction(
        id="more-data-hurts-without-a-penalty",
        section="where double descent appears: data size (sample-wise)",
        lecture="Double descent appears in data size.",
        right="Without a penalty it does; the best ridge penalty makes every example help.",
        why=(
            "The peak is at n = d, so fewer examples are better than d. The best penalty d sigma^2/|beta|^2 is the "
            "same for every n, and with it the risk is sigma^2 + sigma^2 tr (X'X + penalty)^-1, which every further "
            "row of X lowers."
        ),
        source="Nakkiran (2019), arXiv:1912.07242; Nakkiran et al. (2020), arXiv:2003.01897",
        claims=("DD6",),
    ),
    Correction(
        id="noise-is-no-axis",
        section="where double descent appears: even label noise",
        lecture="Double descent appears even in label noise.",
        right="Noise is not an axis of it: it raises the whole curve, and the peak is there without any.",
        why=(
            "What features leave of the target is noise to the fit, so a clean target peaks, too. More noise raises "
            "the error beside the peak and beyond it; DD7 measures both, and their ratio."
        ),
        source="Adlam & Pennington (2020), arXiv:2011.03321",
        claims=("DD7",),
    ),
    Correction(
        id="train-past-the-fit-or-stop-early",
        section="practical implications",
        lecture="Train past interpolation, do not stop at 100 % training accuracy, stop early on validation loss.",
        right="The two pull apart. Keep the best checkpoint on validation of a run that is long on a log axis.",
        why=(
            "With noisy labels the best step is before the fit. With separate scales, and where networks grok, "
            "validation gets worse or stands still before it gets better, and short patience stops there. "
            "Cross-validation, a tuned penalty and bias and variance remain exact guidance."
        ),
        source="Nakkiran et al. (2019), arXiv:1912.02292; Power et al. (2022), arXiv:2201.02177",
        claims=("DD8",),
    ),
)
