"""Corrections of what the lecture says of schedules."""

from thalweg.studies.errata.correction import Correction

CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        id="effective-rate-epsilon",
        section="Why Adam Works: Per-Parameter Learning Rates",
        lecture="Effective rate = alpha / sqrt(variance + epsilon).",
        right="Effective rate = alpha / (sqrt(v-hat) + epsilon): epsilon stands outside the root.",
        why=(
            "Inside the root the smallest denominator is sqrt(epsilon), so the usual 1e-8 would act like 1e-4 outside "
            "it, and damp every parameter whose gradients are below 1e-4."
        ),
        source="Kingma & Ba (2015), arXiv:1412.6980, algorithm 1; torch.optim.Adam",
        claims=("OPT4",),
    ),
    Correction(
        id="layer-scales",
        section="Why Adam Works: Per-Parameter Learning Rates",
        lecture="Embeddings have large gradients and need a small rate; the output layer has small ones.",
        right="It depends on the net and on the moment of training; what holds is that the rate follows 1/sqrt(v-hat).",
        why=(
            "An embedding row gets a gradient only when its token occurs, so the row of a rare token has a small "
            "second moment and a large effective rate, the opposite of the rule. It is better measured than assumed."
        ),
        source="counted from the formula; measured by OPT4, per kind of layer",
        claims=("OPT4",),
    ),
    Correction(
        id="warmup-step-zero",
        section="Learning Rate Schedules: warmup (Critical for Transformers)",
        lecture="lr = base_lr * step / warmup_steps while step < warmup_steps, with no word on what follows.",
        right="lr = base_lr * min(1, t / warmup_steps), t counted from 1.",
        why=(
            "Counted from 0 the first step has rate 0: its batch moves no parameter, though its gradient enters the "
            "moments of Adam and so later steps. Without the other branch the rate after the warmup is undefined."
        ),
        source="Goyal et al. (2017), arXiv:1706.02677, section 2.2",
        claims=("SCH1",),
    ),
    Correction(
        id="warmup-cause",
        section="Learning Rate Schedules: warmup (Critical for Transformers)",
        lecture="Warmup is critical because large early gradients destabilize.",
        right="Early gradients are larger here; whether that is why warmup helps is open, and other reasons are known.",
        why=(
            "Adam divides by the gradient's size, so gradients that are large as a whole make no larger step. Others "
            "find the reason in the sharpness, which falls while the rate is small, or in second moments that rest on "
            "few gradients; for post-norm transformers gradients near the output at the start have been named. To see "
            "large gradients beside a gain tells none of these apart."
        ),
        source="Gilmer et al. (2021), arXiv:2110.04369; Liu et al. (2020), arXiv:1908.03265; Xiong et al. (2020), "
        "arXiv:2002.04745",
        claims=("SCH1",),
    ),
    Correction(
        id="cosine-counts-warmup",
        section="Learning Rate Schedules: Cosine Annealing",
        lecture="The cosine's progress is step / total_steps.",
        right="After a warmup it is (step - warmup) / (total - warmup).",
        why=(
            "Counted from the start, the cosine has already fallen when the warmup hands over, and the rate jumps "
            "down by 1 - (1 + cos(pi w/T))/2: 2.4 % for a warmup of a tenth of the training, 20.6 % for three tenths."
        ),
        source="Loshchilov & Hutter (2017), arXiv:1608.03983, eq. 5, with progress from the start of the fall",
        claims=("SCH2",),
    ),
    Correction(
        id="inverse-square-root-exponents",
        section="Learning Rate Schedules: Inverse Square Root (GPT-style)",
        lecture="lr = base_lr * min(step-0.5, step * warmup_steps-1.5).",
        right="lr = d^-0.5 * min(step^-0.5, step * warmup^-1.5), or, by its peak, base_lr * min(t/w, sqrt(w/t)).",
        why=(
            "The exponents have become subtractions: as printed, the rate grows without end and is about 4,000 times "
            "base_lr at step 4,000. With the exponents restored and base_lr in front, the peak is "
            "base_lr/sqrt(warmup), 63 times lower than base_lr for a warmup of 4,000."
        ),
        source="Vaswani et al. (2017), arXiv:1706.03762, eq. 3",
        claims=("SCH3",),
    ),
    Correction(
        id="inverse-square-root-gpt",
        section="Learning Rate Schedules: Inverse Square Root (GPT-style)",
        lecture="The inverse square root is GPT-style.",
        right="It is that of the original Transformer and of T5. GPT and GPT-3 used a cosine.",
        why="The papers say so.",
        source="Vaswani et al. (2017), arXiv:1706.03762; Radford et al. (2018); Brown et al. (2020), arXiv:2005.14165, "
        "appendix B",
        claims=("SCH3",),
    ),
)
