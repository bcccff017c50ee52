"""Corrections of what the lecture says of bias, variance and noise."""

from thalweg.studies.errata.correction import Correction

SECTION = "double descent curve: the bias-variance tradeoff"
CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="bias-variance-expectations",
        section=SECTION,
        lecture="E[y^2] = f^2 + eps^2 and E[eps fhat] = 0, so that Err = bias^2 + sigma^2 + variance.",
        right="sigma^2 is E[eps^2], everything is at a fixed x, and E[eps fhat] = 0 at test points alone.",
        why=(
            "On a point that was fitted the noise is in the fit. For least squares with p parameters and n points the "
            "expected error there is sigma^2 (1 - p/n), and of new targets at the same points sigma^2 (1 + p/n): with "
            "p = 15 and n = 60 it is 0.75 and 1.25 sigma^2, apart by 2 sigma^2 p/n = 0.5 sigma^2."
        ),
        source="Hastie, Tibshirani & Friedman (2009), The elements of statistical learning, section 7.4",
        claims=("BV1",),
    ),
    Correction(
        id="bias-variance-of-which-loss",
        section=SECTION,
        lecture="The error divides into bias and variance.",
        right="Squared error does; cross-entropy does around the mean of logits; the 0-1 loss does not.",
        why=(
            "E KL(p || p_j) = KL(p || q) + E KL(q || p_j) is an identity for q proportional to exp(E log p_j), that is "
            "the softmax of the mean logits; around the mean of probabilities the sum does not come out. Of the 0-1 "
            "loss: where three of five fits are wrong the vote errs always, and a single fit in 60 % of the cases, so "
            "that the spread of fits lowers the error there."
        ),
        source="Heskes (1998), doi:10.1162/089976698300017232; Domingos (2000), A unified bias-variance decomposition",
        claims=("BV1",),
    ),
    Correction(
        id="u-curve-below-the-threshold",
        section="double descent curve: classical U-curve (a bias-variance tradeoff)",
        lecture="Minimizing one of bias and variance may let the other grow; optimal complexity balances them.",
        right="Below the interpolation threshold, without a tuned penalty. Across it variance rises and falls again.",
        why=(
            "Variance is largest where just one solution fits: to the right there are many, and the smallest of them "
            "is taken, which depends less on the sample. With a penalty tuned at each size the error falls throughout."
        ),
        source="Yang et al. (2020), arXiv:2002.11328; Nakkiran et al. (2020), arXiv:2003.01897",
        claims=("BV2",),
    ),
    Correction(
        id="variance-of-single-fits",
        section=SECTION,
        lecture="Variance is the differences between average predictions; bias is the average error of the average.",
        right="Variance is the spread of single fits about their mean; only level noise is a spread of averages.",
        why=(
            "Case i, judge j, occasion r: e_ijr = bias_i + level_j + stable_ij + occasion noise, and the mean of e^2 "
            "is the sum of the mean squares. So bias is squared case by case: errors of +1 and -1 on two cases average "
            "to 0, and their squares to 1. MSE = bias^2 + noise^2 with the bias of the average would lose that."
        ),
        source="Kahneman, Sibony & Sunstein (2021), Noise, chapter 6; Searle, Casella & McCulloch (1992)",
        claims=("BV3",),
    ),
    Correction(
        id="experts-remove-variance",
        section=SECTION,
        lecture="A multiple expert model may be a solution.",
        right="Averaging removes variance, not bias: training sets divide all noise, seeds that of occasions alone.",
        why=(
            "The error of k independent fits averaged is bias^2 + variance/k, and not error/k. Of seeds on one "
            "training set what the set does to all of them stays: with bias^2 36, level 3, stable pattern 54 and "
            "occasion noise 7 of 100, four seeds leave 95, and eight training sets 44."
        ),
        source="Adlam & Pennington (2020), arXiv:2011.03321; measured by BV4",
        claims=("BV4",),
    ),
)
