"""The registers that a mapping sets, and whether a configuration can hold it.

The limits are those of docs/architecture.md ("COMPUTE"), the widths of command fields, and the GLB.
"""

from eyas.command import DRAIN, TILE, UNIT, WALK, Block
from eyas.compiler.budget import Budget
from eyas.compiler.mapping import Sizes
from eyas.config import BEAT_LANES, MIN_PSUMS, WORD_LANES, Config
from eyas.errors import ConfigError

COORDINATE_LIMIT = 4095
"""Row controllers hold ifmap coordinates in 13 bits, signed."""


def register_blocks(sizes: Sizes, steps: int, pad_value: int) -> dict[int, dict[str, int]]:
    """COMPUTE's register blocks 1 (WALK) and 2 (UNIT), but for the segment's digits."""
    shape, mapping = sizes.shape, sizes.mapping
    pitch, plane = sizes.pitch, sizes.plane
    sets = mapping.we * mapping.wf
    mask = sum(1 << (n * sets) for n in range(mapping.wm))
    walk = {
        "p": mapping.p,
        "q": mapping.q,
        "taps": mapping.taps,
        "depthwise": int(shape.depthwise),
        "psums": sizes.psums,
        "steps": steps,
        "span": sizes.span,
        "advance": sizes.advance,
        "tap_pitch": BEAT_LANES * sizes.beats * shape.dilation[1] if mapping.taps > 1 else 0,
        "beats": sizes.beats,
        "position_gap": shape.stride[1] - sizes.advance,
        "pad_value": pad_value,
        "we": mapping.we,
        "wf": mapping.wf,
        "wm": mapping.wm,
        "stride_y": shape.stride[0],
        "ifmap_plane": plane,
        "we_step": shape.stride[0] * pitch,
        "wf_step": steps * shape.stride[1],
        "row_step": sizes.dilation * pitch,
        "dilation": sizes.dilation,
        "unit_rows": mapping.seg_rows,
        "tap_chunks": mapping.seg_taps,
    }
    unit = {
        "tap_chunk_step": mapping.taps * shape.dilation[1],
        "q_plane": mapping.q // WORD_LANES * plane,
        "filters": sizes.filters,
        "filter_words": sizes.filter_words,
        "unit_words": mapping.wm * sizes.filter_words,
        "columns": sizes.columns,
        "ifmap_mask": mask,
        "filter_mask": (1 << sets) - 1,
        "advance_beats": sizes.advance * sizes.beats,
        "span_beats": sizes.span * sizes.beats,
    }
    return {1: walk, 2: unit}


def check(sizes: Sizes, config: Config, budget: Budget | None = None) -> None:
    """Raises ConfigError that names the layer, for a mapping that the configuration cannot hold.

    Without a budget, the layer has the whole GLB.
    """
    budget = budget or Budget.of(config)
    if sizes.psums < MIN_PSUMS:
        raise ConfigError(
            f"layer {sizes.shape.name}: psums of a PE must be at least {MIN_PSUMS}, "
            f"not {sizes.psums} ({sizes.mapping})"
        )
    if sizes.shape.kept_ifmap and sizes.mapping.ifmaps != "block":
        raise ConfigError(
            f"layer {sizes.shape.name}: an ifmap that stays in the GLB needs ifmaps=block, "
            f"not {sizes.mapping.ifmaps} ({sizes.mapping})"
        )
    for what, value, limit in _limits(sizes, config, budget):
        if value > limit:
            raise ConfigError(
                f"layer {sizes.shape.name}: {what} must be at most {limit}, not {value} "
                f"({sizes.mapping})"
            )
    for number, values in register_blocks(sizes, sizes.mapping.steps, 0).items():
        _check_fields(sizes, (WALK, UNIT)[number - 1], values)
    tile = {"f_valid": sizes.tile_width, "m_valid": sizes.tile_channels}
    tile |= {"ifmap_height": sizes.window[0], "ifmap_width": sizes.window[1]}
    _check_fields(sizes, TILE, tile)
    _check_fields(
        sizes, DRAIN, {"ofmap_plane": sizes.ofmap_plane, "ofmap_pitch": sizes.ofmap_pitch}
    )


def _check_fields(sizes: Sizes, block: Block, values: dict[str, int]) -> None:
    for name, value in values.items():
        if not block[name].range[0] <= value <= block[name].range[1]:
            raise ConfigError(
                f"layer {sizes.shape.name}: command field {name} holds at most "
                f"{block[name].range[1]}, not {value} ({sizes.mapping})"
            )


def _limits(sizes: Sizes, config: Config, budget: Budget) -> list[tuple[str, int, int]]:
    """(what, value, limit) of every rule about a mapping."""
    shape, mapping, spad = sizes.shape, sizes.mapping, config.spad
    units = mapping.seg_rows * mapping.seg_taps * mapping.seg_chunks
    chained = min(config.array.rows, units) * mapping.taps
    width = (mapping.wf * mapping.steps - 1) * shape.stride[1] + (shape.s - 1) * shape.dilation[1]
    height = (mapping.we - 1) * shape.stride[0] + (shape.r - 1) * shape.dilation[0]
    buffers = mapping.ofmap_buffers * sizes.tile_words
    mixed = shape.r if sizes.dilation != shape.dilation[0] else 1
    together = 2 if (mapping.filters, mapping.order) == ("segment", "blocks") else 1
    return [
        ("filters of a PE", sizes.filters, spad.filters),
        ("psums of a PE", sizes.psums, spad.psums),
        ("filter rows of another dilation than the taps", mixed, 1),
        ("ring beats of a step", sizes.span * sizes.beats, spad.ifmap_beats),
        ("products of a psum", chained * (1 if shape.depthwise else mapping.q), spad.chain_limit),
        ("psums of a tile", mapping.steps * sizes.psums, config.psum_bank.depth),
        ("tiles that take turns", mapping.tiles_together, together),
        ("columns", sizes.columns, config.array.cols),
        (
            "ifmap columns of a tile",
            width + max(shape.padding[1], sizes.window[1]),
            COORDINATE_LIMIT,
        ),
        ("ifmap rows of a tile", height + max(shape.padding[0], sizes.window[0]), COORDINATE_LIMIT),
        ("fmap words", sizes.kept_ifmap_words + buffers, budget.fmap_words),
        ("filter words", sizes.kept_words + sizes.merge_words, config.glb.filter_words),
    ]
