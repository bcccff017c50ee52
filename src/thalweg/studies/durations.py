"""How long experiments take, so that the longest begin first: one that began last would run alone in the end.

Nothing but the order of the queue and the time left that is shown depends on these numbers.
"""

from collections.abc import Sequence

# Seconds of one thread at quick scale, by the first claim of the experiment: measured one after the other on a machine
# of two cores. At full scale experiments take longer, in much the same order.
SECONDS: dict[str, float] = {
    "OPT5": 0.2,
    "OPT6": 0.3,
    "OPT1": 6.4,
    "OPT2": 3.9,
    "OPT3": 4.9,
    "OPT4": 2.6,
    "OPT7": 9,
    "SCH1": 9.1,
    "SCH2": 15.4,
    "GEN1": 17.8,
    "GEN4": 6.5,
    "IMP1": 2.3,
    "IMP2": 4.9,
    "IMP3": 10.9,
    "IMP4": 9.3,
    "IMP5": 1.7,
    "IMP6": 0.6,
    "SIM1": 4.8,
    "SIM2": 4.4,
    "SIM3": 2.4,
    "SIM4": 8.5,
    "SIM5": 13.1,
    "GRK1": 20.6,
    "GRK3": 13.9,
    "BV1": 0.3,
    "BV2": 1.5,
    "BV3": 6.5,
    "DD1": 8,
    "DD4": 21.2,
    "DD5": 2.9,
    "DD6": 0.4,
    "DD8": 12.8,
    "LAN7": 5.6,
    "LAN2": 5.9,
    "LAN1": 1,
    "LAN8": 7.5,
    "LAN3": 3.2,
    "LAN5": 2.5,
    "LAN4": 3.7,
    "LAN6": 8.6,
    "CON1": 15.2,
    "CON3": 9.2,
    "LTH1": 21.5,
    "LTH5": 2.4,
    "LTH6": 4.8,
    "LTH7": 5.6,
    "LTH8": 8,
    "LTH10": 3.2,
    "NTK1": 1.4,
    "NTK2": 3,
    "NTK5": 3.4,
    "NTK6": 6.4,
    "NTK7": 6.2,
    "NTK8": 7.6,
    "NTK9": 5.5,
    "NTK10": 13,
    "NTK11": 3.5,
}
_UNKNOWN = 10.0  # of an experiment that was not measured


def duration_of(claims: Sequence[str]) -> float:
    """About how many seconds the experiment that decides these claims takes at quick scale.

    >>> from thalweg.studies.durations import duration_of
    >>> duration_of(["GRK1", "GRK2", "GRK4"]) > duration_of(["IMP6"])
    True
    """
    return SECONDS.get(claims[0], _UNKNOWN)
