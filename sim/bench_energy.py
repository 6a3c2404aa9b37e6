"""Energy of a run in the units of the survey: what data movement costs, relative to a MAC.

    value comes from    spad   another PE or the GLB, over the NoC   GLB   DRAM
    costs               1      2                                     6     200      MACs

Sze, Chen, Yang and Emer, "Efficient Processing of Deep Neural Networks", give these ratios for one
commercial 65 nm process and 16-bit values. Here a unit is one 8-bit MAC, and each access of a value
costs the ratio: both ends of it are half as wide, and the ratios are taken over as they stand.
A psum counts as one value, as in the survey, wide as it is.
"""

COSTS = {"alu": 1, "spad": 1, "noc": 2, "glb": 6, "dram": 200}
"""Of a MAC, and of an access of one value at each level, in MACs."""


def energy(
    active_macs: int, spad_accesses: int, noc_values: int, glb_values: int, memory_bytes: int
) -> dict[str, int]:
    """The breakdown of the energy by level and its total, in MACs.

    active_macs: with those on padded lanes, which switch too. The others: values accessed.
    """
    accesses = dict(
        alu=active_macs,
        spad=spad_accesses,
        noc=noc_values,
        glb=glb_values,
        dram=memory_bytes,
    )
    parts = {level: COSTS[level] * count for level, count in accesses.items()}
    return parts | {"total": sum(parts.values())}
