"""Random segments (COMPUTE commands) and what the psum banks must hold after them.

The reference follows the loop nest of docs/architecture.md literally, one product at a time, and
shares no code with the interpreter.
"""

import numpy as np

from eyas.config import Config


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def make_segment(config: Config, **c) -> dict[str, int]:
    """Fields of a segment from its choices: p, q, taps, unit_rows, tap_chunks, channel_chunks, we,
    wf, wm, steps, stride (y, x), dilation, lane0, height, width, y0, x0, depthwise, pad_value."""
    rows = config.array.rows
    p, q, taps, depthwise = c["p"], c["q"], c["taps"], c.get("depthwise", 0)
    dilation, (stride_y, stride_x) = c.get("dilation", 1), c["stride"]
    pitch, plane = c["width"], c["width"] * c["height"]
    lane0 = c.get("lane0", 0)
    starts = {(lane0 + k * q) % 4 for k in range(c["channel_chunks"])}
    beats = max(ceil_div(start + q, 4) for start in starts)
    span = (taps - 1) * dilation + 1
    advance = min(stride_x, span)
    units = c["unit_rows"] * c["tap_chunks"] * c["channel_chunks"]
    filters = q * taps * (1 if depthwise else p)
    group = c["we"] * c["wf"]
    wf_step = c["steps"] * stride_x
    return dict(
        ifmap_base=(c.get("base", 0) + c["y0"] * pitch + c["x0"]) & 0xFFFF,
        filter_base=c.get("filter_base", 0),
        y0=c["y0"],
        x0=c["x0"],
        ifmap_height=c["height"],
        ifmap_width=c["width"],
        units=units,
        passes=ceil_div(units, rows),
        lane0=lane0,
        first=c.get("first", 1),
        last=c.get("last", 1),
        swap=0,
        p=1 if depthwise else p,
        q=q,
        taps=taps,
        depthwise=depthwise,
        psums=q if depthwise else p,
        steps=c["steps"],
        span=span,
        advance=advance,
        tap_pitch=4 * beats * dilation,
        beats=beats,
        position_gap=stride_x - advance,
        pad_value=c.get("pad_value", 0),
        we=c["we"],
        wf=c["wf"],
        wm=c["wm"],
        stride_y=stride_y,
        ifmap_plane=plane,
        we_step=stride_y * pitch,
        wf_step=wf_step,
        row_step=dilation * pitch,
        dilation=dilation,
        unit_rows=c["unit_rows"],
        tap_chunks=c["tap_chunks"],
        tap_chunk_step=taps * dilation,
        q_plane=q // 8 * plane,
        filters=filters,
        filter_words=ceil_div(filters, 8),
        unit_words=c["wm"] * ceil_div(filters, 8),
        columns=group * c["wm"],
        ifmap_mask=sum(1 << (group * n) for n in range(c["wm"])),
        filter_mask=(1 << group) - 1,
        advance_beats=advance * beats,
        span_beats=span * beats,
        useful_macs=1,
    )


def random_choices(config: Config, rng: np.random.Generator) -> dict:
    """Choices that the hardware can hold, over the whole range of shapes."""
    while True:
        depthwise = int(rng.random() < 0.25)
        p, q = int(rng.integers(3, 9)), int(rng.integers(3 if depthwise else 1, 17))
        taps, dilation = int(rng.integers(1, 5)), int(rng.choice([1, 1, 1, 2]))
        we, wf, wm = (int(n) for n in rng.integers(1, 5, 3))
        c = dict(
            depthwise=depthwise,
            p=p,
            q=q,
            taps=taps,
            dilation=dilation,
            we=we,
            wf=wf,
            wm=1 if depthwise else wm,
            steps=int(rng.integers(1, 7)),
            stride=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            unit_rows=int(rng.integers(1, 5)),
            tap_chunks=int(rng.integers(1, 3)),
            channel_chunks=1 if depthwise else int(rng.integers(1, 5)),
            lane0=int(rng.integers(0, 8)),
            height=int(rng.integers(1, 9)),
            width=int(rng.integers(1, 9)),
            y0=int(rng.integers(-3, 3)),
            x0=int(rng.integers(-3, 3)),
            pad_value=int(rng.integers(-128, 128)),
        )
        f = make_segment(config, **c)
        lanes = c["lane0"] + q * c["channel_chunks"] + 4
        fits = (
            (c["pad_value"] or meets_ifmap(f))  # all psums would be zero
            and f["columns"] <= config.array.cols
            and f["filters"] <= config.spad.filters
            and f["span"] * f["beats"] <= config.spad.ifmap_beats
            and f["psums"] <= config.spad.psums
            and f["steps"] * f["psums"] <= config.psum_bank.depth
            and f["units"] * f["unit_words"] <= config.glb.filter_words
            and ceil_div(lanes, 8) * f["ifmap_plane"] <= config.glb.fmap_words
            and config.array.rows * q * taps <= config.spad.chain_limit
        )
        if fits:
            return c


def meets_ifmap(f: dict[str, int]) -> bool:
    """Whether any tap lies inside of the ifmap; some tiles are padding alone."""
    y = [f["y0"] + i * f["dilation"] for i in range(f["unit_rows"])]
    x = [f["x0"] + t * f["dilation"] for t in range(f["taps"] * f["tap_chunks"])]
    stride_x = f["advance"] + f["position_gap"]
    ys = [row + a * f["stride_y"] for row in y for a in range(f["we"])]
    xs = [column + n * stride_x for column in x for n in range(f["wf"] * f["steps"])]
    return any(0 <= n < f["ifmap_height"] for n in ys) and any(
        0 <= n < f["ifmap_width"] for n in xs
    )


def reference_psums(config: Config, f: dict[str, int], fmaps, filters, old=None) -> np.ndarray:
    """int64 [columns][steps * psums]; fmaps and filters are int8 [words][8]."""
    psums = (
        np.zeros((f["columns"], f["steps"] * f["psums"]), np.int64) if old is None else old.copy()
    )
    stride_x = f["advance"] + f["position_gap"]
    pitch = f["row_step"] // f["dilation"]
    base = f["ifmap_base"] - f["y0"] * pitch - f["x0"]
    flat = filters.reshape(-1)
    for u in range(f["units"]):
        i = u % f["unit_rows"]
        s = u // f["unit_rows"] % f["tap_chunks"]
        k = u // (f["unit_rows"] * f["tap_chunks"])
        for column in range(f["columns"]):
            filter_set, group = divmod(column, f["we"] * f["wf"])
            a, b = divmod(group, f["wf"])
            block = (f["filter_base"] + u * f["unit_words"] + filter_set * f["filter_words"]) * 8
            for step in range(f["steps"]):
                for t in range(f["taps"]):
                    y = f["y0"] + i * f["dilation"] + a * f["stride_y"]
                    x = f["x0"] + s * f["tap_chunk_step"] + t * f["dilation"]
                    x += (b * f["steps"] + step) * stride_x
                    for lane in range(f["q"]):
                        at = f["lane0"] + k * f["q"] + lane
                        value = f["pad_value"]
                        if 0 <= y < f["ifmap_height"] and 0 <= x < f["ifmap_width"]:
                            word = (base + at // 8 * f["ifmap_plane"] + y * pitch + x) & 0xFFFF
                            value = int(fmaps[word, at % 8])
                        n = t * f["q"] + lane
                        if f["depthwise"]:
                            psums[column, step * f["psums"] + lane] += value * int(flat[block + n])
                        else:
                            weights = flat[block + n * f["p"] : block + (n + 1) * f["p"]]
                            at = step * f["psums"]
                            psums[column, at : at + f["p"]] += value * weights.astype(np.int64)
    return psums
