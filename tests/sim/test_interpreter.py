"""sim/interpreter.py: hand-made programs against the golden operators; every rule broken once."""

from dataclasses import replace

import numpy as np
import pytest
from handmade_programs import (
    COMPUTE,
    FILTERS,
    LOAD,
    OFMAP,
    STORE,
    Mapping,
    convolution_program,
    program_bytes,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eyas import layout
from eyas.command import TOKEN_LIMIT, Command, Dialect, Engine, Opcode, Space
from eyas.compiler.ir import Convolution, MaxPool, Requantization
from eyas.config import Array, Config, Glb, Ppu
from eyas.errors import ConfigError
from eyas.numerics import encode_scale
from eyas.registers import Counter
from eyas.sim import golden
from eyas.sim.interpreter import UNTIMED, Interpreter

CONFIG = Config("test", Array(3, 5), Glb(64, 64))


def requantization(m, rng, dialect=Dialect.TFLITE, **values):
    """Scales of about 1/2000, so that random psums land inside of int8."""
    if dialect == Dialect.ONNX:
        multiplier, shift = zip(*(encode_scale(s) for s in rng.uniform(2e-4, 1e-3, m)), strict=True)
    else:
        multiplier, shift = rng.integers(1 << 30, (1 << 31) - 1, m), rng.integers(-11, -8, m)
    return Requantization(
        dialect, np.array(multiplier, np.int32), np.array(shift, np.int8), **values
    )


def convolution(rng, c, m, r, s, groups=1, how=None, **values):
    return Convolution(
        "layer",
        "ifmap",
        "ofmap",
        rng.integers(-128, 128, (m, c // groups, r, s), np.int8),
        rng.integers(-3000, 3000, m).astype(np.int32),
        how or requantization(m, rng, zero_point=3),
        groups=groups,
        **values,
    )


def run(program, config=CONFIG):
    """(interpreter, ofmap) after the program has run."""
    memory = program.image()
    interpreter = Interpreter(config, memory)
    interpreter.run(0, len(program.commands))
    return interpreter, program.ofmap(memory)


def check(layer, shape, mapping, rng, config=CONFIG):
    ifmap = rng.integers(-128, 128, shape, np.int8)
    program = convolution_program(config, layer, ifmap, mapping)
    interpreter, ofmap = run(program, config)
    np.testing.assert_array_equal(ofmap, golden.convolution(ifmap, layer))
    assert interpreter.warnings == []
    assert set(interpreter.tokens.values()) == {0}
    return program, interpreter


PADDED = {"padding": (1, 1, 1, 1), "pad_value": -7}
STRIDED = PADDED | {"stride": (2, 2)}
GAPS, UNEQUAL = {"stride": (3, 3)}, PADDED | {"stride": (1, 3)}
DILATED = {"dilation": (2, 2)}
CASES = {
    # (C, M, R, S, groups), layer, (C, H, W), mapping: p, q, taps, we, wf, wm, steps, segments
    "one tile": ((5, 4, 3, 3), {}, (5, 6, 6), Mapping(4, 5, 3, we=4, steps=4)),
    "1x1": ((16, 6, 1, 1), {}, (16, 3, 5), Mapping(3, 4, 1, we=3, steps=5)),
    "dense": ((24, 10, 4, 4), {}, (24, 4, 4), Mapping(10, 3, 4)),
    "padded": ((6, 5, 3, 3), PADDED, (6, 5, 5), Mapping(5, 3, 3, we=5, steps=5)),
    "strided": ((6, 4, 3, 3), STRIDED, (6, 7, 9), Mapping(4, 6, 3, we=4, steps=5)),
    "gaps": ((4, 4, 1, 1), GAPS, (4, 8, 8), Mapping(4, 4, 1, we=3, steps=3)),
    "unequal": ((4, 4, 3, 3), UNEQUAL, (4, 6, 8), Mapping(4, 4, 3, we=2, wf=2, steps=2)),
    "dilated": ((4, 4, 3, 3), DILATED, (4, 8, 9), Mapping(4, 4, 3, we=4, steps=5)),
    "pieces": ((4, 4, 3, 3), {}, (4, 4, 9), Mapping(4, 4, 3, wf=3, steps=3)),
    "filter sets": ((4, 9, 3, 3), {}, (4, 4, 5), Mapping(3, 4, 3, wm=3, steps=3)),
    "all": ((12, 11, 3, 5), PADDED, (12, 6, 8), Mapping(3, 5, 3, wf=2, wm=2, steps=3)),
    "segments": ((40, 4, 3, 3), {}, (40, 5, 5), Mapping(4, 3, 3, we=3, steps=3, segments=5)),
    "tap chunks": ((4, 4, 2, 7), PADDED, (4, 5, 9), Mapping(4, 4, 2, we=4, steps=5)),
    "lanes between": ((19, 4, 1, 3), {}, (19, 2, 5), Mapping(4, 7, 3, we=2, steps=3)),
    "passes": ((8, 3, 5, 1), {}, (8, 7, 4), Mapping(3, 2, 1, we=3, steps=4)),
    "depthwise": ((13, 13, 3, 3, 13), PADDED, (13, 7, 7), Mapping(1, 5, 3, 2, 2, steps=4)),
    "depthwise strided": ((8, 8, 3, 3, 8), STRIDED, (8, 7, 7), Mapping(1, 4, 3, 4, steps=4)),
    "depthwise chunks": ((6, 6, 2, 5, 6), {}, (6, 4, 7), Mapping(1, 3, 2, we=3, steps=3)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_layers_equal_golden(case):
    sizes, values, shape, mapping = case
    rng = np.random.default_rng(1)
    check(convolution(rng, *sizes, **values), shape, mapping, rng)


@st.composite
def mapped_layers(draw):
    """(layer, shape, mapping, rng) of any small layer with any mapping that CONFIG can hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depthwise = draw(st.booleans())
    c = draw(st.integers(2 if depthwise else 1, 20))
    m = c if depthwise else draw(st.integers(1, 12))
    r, s = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    dilation = draw(st.integers(1, 2))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    h = max(1, dilation * (r - 1) + draw(st.integers(1, 6)) - padding[0] - padding[2])
    w = max(1, dilation * (s - 1) + draw(st.integers(1, 9)) - padding[1] - padding[3])
    layer = convolution(
        rng,
        c,
        m,
        r,
        s,
        groups=c if depthwise else 1,
        how=requantization(
            m,
            rng,
            draw(st.sampled_from(Dialect)),
            zero_point=draw(st.integers(-20, 20)),
            clamp_min=draw(st.integers(-128, -50)),
            clamp_max=draw(st.integers(50, 127)),
            table=rng.integers(-128, 128, 256, np.int8) if draw(st.booleans()) else None,
        ),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        dilation=(dilation, dilation),
        padding=padding,
        pad_value=draw(st.integers(-128, 127)),
    )
    _, e, f = layer.output_shape((c, h, w))
    q = draw(st.integers(3, 12) if depthwise else st.integers(1, 12))
    p = 1 if depthwise else draw(st.integers(3, 8))
    taps = draw(st.integers(1, s))
    we = draw(st.integers(1, 5))
    wf = draw(st.integers(1, 5 // we))
    wm = 1 if depthwise else draw(st.integers(1, 5 // (we * wf)))
    chunks = 1 if depthwise else -(-c // q)
    mapping = Mapping(
        p, q, taps, we, wf, wm, draw(st.integers(1, 9)), draw(st.integers(1, min(3, chunks)))
    )
    span = (taps - 1) * dilation + 1
    assume(p * q * taps <= CONFIG.spad.filters)
    assume(span * ((q + 3 + 3) // 4) <= CONFIG.spad.ifmap_beats)
    assume(e >= 1 and f >= 1)
    assume(-(-m // (wm * p)) * -(-e // we) * -(-f // (wf * mapping.steps)) < 200)
    return layer, (c, h, w), mapping, rng


@settings(max_examples=150, deadline=None)
@given(mapped_layers())
def test_any_layer_and_mapping_equals_golden(case):
    program, interpreter = check(*case)
    expected = walk_counts(program)
    assert {c: interpreter.counts[c] for c in expected} == expected


def walk_counts(program):
    """What the machine counts, by walking as it does: unit by unit, position by position."""
    counts = dict.fromkeys(UNTIMED, 0)
    walk, unit, drain = (command.values for command in program.commands[:3])
    for tile in program.tiles:
        pieces = [(a, b) for a in range(walk["we"]) for b in range(walk["wf"])]
        stride = walk["advance"] + walk["position_gap"]
        counts[Counter.USEFUL_MACS] += tile["useful_macs"]
        for u in range(tile["units"]):
            i = u % walk["unit_rows"]
            s = u // walk["unit_rows"] % walk["tap_chunks"]
            lane = tile["lane0"] + u // walk["unit_rows"] // walk["tap_chunks"] * walk["q"]
            first_beat = lane // 4
            words = {(first_beat + beat) // 2 for beat in range(walk["beats"])}
            for f in range(walk["steps"]):
                fresh = walk["span"] if f == 0 else walk["advance"]
                for n in range(walk["span"] - fresh, walk["span"]):
                    for a, b in pieces:
                        y = tile["y0"] + i * walk["dilation"] + a * walk["stride_y"]
                        x = tile["x0"] + s * unit["tap_chunk_step"] + n
                        x += (b * walk["steps"] + f) * stride
                        counts[Counter.NOC_IFMAP_BEATS] += walk["beats"]
                        counts[Counter.SPAD_WRITES] += walk["beats"] * walk["wm"]
                        if 0 <= y < tile["ifmap_height"] and 0 <= x < tile["ifmap_width"]:
                            counts[Counter.GLB_READS] += len(words)
                counts[Counter.ACTIVE_MACS] += unit["columns"] * unit["filters"]
            counts[Counter.GLB_READS] += walk["wm"] * -(-unit["filters"] // 8)
            counts[Counter.NOC_FILTER_VALUES] += walk["wm"] * unit["filters"]
            counts[Counter.SPAD_WRITES] += walk["wm"] * unit["filters"] * len(pieces)
        counts[Counter.NOC_PSUMS] += (
            tile["passes"] * unit["columns"] * walk["steps"] * walk["psums"]
        )
        if tile["last"]:
            channels = walk["wm"] * walk["psums"]
            counts[Counter.GLB_READS] += 2 * channels + 32 * drain["table"]
            for n in range(walk["wm"]):
                for a, b in pieces:
                    for f in range(walk["steps"]):
                        written = set()
                        for j in range(walk["psums"]):
                            m = n * walk["psums"] + j
                            if m < tile["m_valid"]:
                                written.add((tile["ofmap_lane"] + m) // 8)
                        if a < tile["we_valid"] and b * walk["steps"] + f < tile["f_valid"]:
                            counts[Counter.GLB_WRITES] += len(written)
    loads, stores = (
        sum(c.values["n0"] for c in program.commands if c.opcode == opcode)
        for opcode in (Opcode.LOAD, Opcode.STORE)
    )
    counts[Counter.GLB_DMA_WORDS] = loads + stores
    counts[Counter.MEMORY_READ_BYTES] = 8 * loads + program_bytes(program)
    counts[Counter.MEMORY_WRITE_BYTES] = 8 * stores
    return counts


def test_counts_of_a_layer_by_hand():
    """4 channels in, 3 out, 1x1 filters, 2x2 positions: two columns, two steps."""
    rng = np.random.default_rng(2)
    layer = convolution(rng, 4, 3, 1, 1)
    _, interpreter = check(layer, (4, 2, 2), Mapping(3, 4, 1, we=2, steps=2), rng)
    counts = interpreter.counts
    assert counts[Counter.USEFUL_MACS] == 10  # as the program says
    assert counts[Counter.ACTIVE_MACS] == 3 * 4 * 4
    assert counts[Counter.NOC_IFMAP_BEATS] == 4
    assert counts[Counter.NOC_FILTER_VALUES] == 12
    assert counts[Counter.SPAD_WRITES] == 4 + 2 * 12
    assert counts[Counter.GLB_READS] == 4 + 2 + 2 * 3  # ifmaps, filters, parameters
    assert counts[Counter.GLB_WRITES] == 4
    assert counts[Counter.NOC_PSUMS] == 3 * 4
    assert counts[Counter.GLB_DMA_WORDS] == 4 + (2 + 6) + 4
    assert counts[Counter.GLB_VECTOR_WORDS] == 0
    assert counts[Counter.MEMORY_READ_BYTES] == 12 * 8 + 8 * 32
    assert counts[Counter.MEMORY_WRITE_BYTES] == 4 * 8


def test_lanes_beyond_the_last_channel_keep_their_value():
    rng = np.random.default_rng(3)
    program, interpreter = check(
        convolution(rng, 4, 5, 1, 1), (4, 1, 3), Mapping(3, 4, 1, steps=3), rng
    )
    memory = program.image()
    interpreter = Interpreter(CONFIG, memory)
    interpreter.glb[Space.FMAP][:] = 77
    interpreter.run(0, len(program.commands))
    ofmap = memory[OFMAP : OFMAP + 24].reshape(3, 8)
    assert (ofmap[:, 5:] == 77).all()


def test_psum_banks_wrap_in_32_bits():
    """Seven segments of the same 21,000 products of 2**14 leave the positive int32."""
    config = Config("wide", Array(1, 1), Glb(64, 80))
    layer = Convolution(
        "layer",
        "ifmap",
        "ofmap",
        np.full((3, 21_000, 1, 1), -128, np.int8),
        np.zeros(3, np.int32),
        Requantization(Dialect.TFLITE, np.full(3, 1 << 30, np.int32), np.full(3, -23, np.int8)),
    )
    ifmap = np.full((21_000, 1, 1), -128, np.int8)
    program = convolution_program(config, layer, ifmap, Mapping(3, 42, 1))
    number = program.index(Opcode.COMPUTE)
    whole = program.commands[number]
    program.commands[number : number + 1] = [
        replace(
            whole,
            values=whole.values | {"first": int(n == 0), "last": int(n == 6)},
            wait=LOAD if n == 0 else 0,
            give=STORE if n == 6 else 0,
        )
        for n in range(7)
    ]
    _, ofmap = run(program, config)
    psum = 7 * 21_000 * 2**14 - 2**32
    assert (ofmap == round(psum / 2**24)).all()


def test_glb_addresses_wrap():
    """The ifmap lies across address 0xFFFF: coordinate (0, 0) is written as -1 row of padding."""
    rng = np.random.default_rng(5)
    layer = convolution(rng, 4, 4, 3, 3, **PADDED)
    program, _ = check(layer, (4, 5, 5), Mapping(4, 4, 3, we=5, steps=5), rng)
    assert program.tiles[0]["ifmap_base"] == 0x10000 - 6


def test_filters_stay_in_the_glb_between_runs():
    rng = np.random.default_rng(6)
    layer = convolution(rng, 4, 3, 1, 1)
    ifmap = rng.integers(-128, 128, (4, 2, 2), np.int8)
    program = convolution_program(CONFIG, layer, ifmap, Mapping(3, 4, 1, steps=2))
    interpreter, _ = run(program)
    second = program.index(Opcode.LOAD, 1)
    program.commands[second].values["n0"] = 0
    before = interpreter.counts[Counter.GLB_DMA_WORDS]
    memory = program.image()
    memory[FILTERS : FILTERS + 4096] = 0
    interpreter.memory[:] = memory
    interpreter.run(0, len(program.commands))
    np.testing.assert_array_equal(
        program.ofmap(interpreter.memory), golden.convolution(ifmap, layer)
    )
    assert interpreter.counts[Counter.GLB_DMA_WORDS] == before + 4 + 4


# LOAD, STORE and VECTOR


def test_strides_of_load_and_store():
    """A corner of a fmap moves in, another corner of it moves out to a place of its own."""
    rng = np.random.default_rng(7)
    words = rng.integers(0, 256, (3, 5, 6, 8), np.uint8)  # blocks, rows, columns
    memory = np.zeros(8192, np.uint8)
    memory[2048 : 2048 + words.size] = words.reshape(-1)
    interpreter = Interpreter(CONFIG, memory)
    load = {
        "memory_address": 2048 + (1 * 6 + 2) * 8,
        "glb_address": 100,
        "n0": 3,
        "n1": 4,
        "n2": 2,
        "memory_stride1": 6 * 8,
        "memory_stride2": 5 * 6 * 8,
        "glb_stride1": 3,
        "glb_stride2": 20,
    }
    interpreter.step(Command(Opcode.LOAD, Engine.LOAD, fields(load)))
    glb = interpreter.glb[Space.FMAP]
    for block in range(2):
        for y in range(4):
            for x in range(3):
                np.testing.assert_array_equal(
                    glb[100 + 20 * block + 3 * y + x], words[block, y + 1, x + 2]
                )
    store = load | {
        "memory_address": 6144 + 512,
        "memory_stride1": (1 << 32) - 24,  # upwards
        "memory_stride2": 256,
        "byte_enable": 0b0101_0011,
        "n1": 3,
    }
    barrier(interpreter)
    memory[6144:] = 0x11
    interpreter.step(Command(Opcode.STORE, Engine.STORE, fields(store)))
    expected = np.full(2048, 0x11, np.uint8).reshape(-1, 8)
    for block in range(2):
        for y in range(3):
            for x in range(3):
                for lane in (0, 1, 4, 6):
                    expected[64 + 32 * block - 3 * y + x, lane] = words[block, y + 1, x + 2, lane]
    np.testing.assert_array_equal(memory[6144:].reshape(-1, 8), expected)


def fields(values):
    return {
        "memory_address": 0,
        "glb_address": 0,
        "space": 0,
        "byte_enable": 0xFF,
        "n0": 1,
        "n1": 1,
        "n2": 1,
        "glb_stride1": 0,
        "glb_stride2": 0,
        "memory_stride1": 0,
        "memory_stride2": 0,
    } | values


def barrier(interpreter):
    """Everything before is in order with everything after."""
    interpreter.restart()


def test_counters_are_stored_as_64_bit_words():
    memory = np.zeros(1024, np.uint8)
    interpreter = Interpreter(CONFIG, memory)
    interpreter.counts[Counter.GLB_READS] = 0x1_2345_6789
    values = fields({"space": Space.COUNTERS, "memory_address": 256, "n0": len(Counter)})
    interpreter.step(Command(Opcode.STORE, Engine.STORE, values))
    stored = memory[256:].view("<u8")
    assert stored[Counter.GLB_READS] == 0x1_2345_6789
    assert stored[Counter.CYCLES] == 0
    assert interpreter.counts[Counter.GLB_DMA_WORDS] == 0
    assert interpreter.counts[Counter.MEMORY_WRITE_BYTES] == 8 * len(Counter)


def pool_commands(layer, shape, ofmap_base, **changes):
    channels, h, w = shape
    _, e, f = layer.output_shape(shape)
    tile = {
        "in_base": (0 - layer.padding[0] * w - layer.padding[1]) & 0xFFFF,
        "out_base": ofmap_base,
        "y0": -layer.padding[0],
        "x0": -layer.padding[1],
        "in_height": h,
        "in_width": w,
        "out_height": e,
        "out_width": f,
        "blocks": layout.channel_blocks(channels),
        "in_pitch": w,
        "in_plane": h * w,
        "out_pitch": f,
        "out_plane": e * f,
    }
    window = {
        "op": 0,
        "rows": layer.window[0],
        "taps": layer.window[1],
        "stride_y": layer.stride[0],
        "stride_x": layer.stride[1],
        "y_step": layer.stride[0] * w,
    }
    for values in (tile, window):
        values.update({name: v for name, v in changes.items() if name in values})
    return [
        Command(Opcode.SET, Engine.STORE, window, block=1),
        Command(Opcode.VECTOR, Engine.STORE, tile),
    ]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_max_pool_equals_golden(data):
    window = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    layer = MaxPool(
        "pool",
        "ifmap",
        "ofmap",
        window,
        (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))),
        tuple(data.draw(st.integers(0, 2)) for _ in range(4)),
    )
    shape = (data.draw(st.integers(1, 20)), data.draw(st.integers(3, 8)), 3)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ifmap = rng.integers(-128, 128, shape, np.int8)
    interpreter = Interpreter(CONFIG, np.zeros(8, np.uint8))
    words = layout.pack_fmap(ifmap).reshape(-1, 8)
    interpreter.glb[Space.FMAP][: len(words)] = words
    for command in pool_commands(layer, shape, len(words)):
        interpreter.step(command)
    expected = golden.max_pool(ifmap, layer)
    ofmap_words = layout.fmap_words(expected.shape)
    ofmap = interpreter.glb[Space.FMAP][len(words) : len(words) + ofmap_words]
    np.testing.assert_array_equal(layout.unpack_fmap(ofmap, expected.shape), expected)
    counted = ofmap_words
    for e in range(expected.shape[1]):
        for f in range(expected.shape[2]):
            y, x = e * layer.stride[0] - layer.padding[0], f * layer.stride[1] - layer.padding[1]
            rows = sum(0 <= y + i < shape[1] for i in range(window[0]))
            columns = sum(0 <= x + t < shape[2] for t in range(window[1]))
            counted += rows * columns * layout.channel_blocks(shape[0])
    assert interpreter.counts[Counter.GLB_VECTOR_WORDS] == counted


# Broken rules


@pytest.fixture
def program():
    """Two filter groups of two segments each, as commands 5 to 8."""
    rng = np.random.default_rng(8)
    layer = convolution(rng, 8, 6, 2, 3)
    ifmap = rng.integers(-128, 128, (8, 3, 5), np.int8)
    mapping = Mapping(3, 4, 3, we=2, steps=3, segments=2)
    program = convolution_program(CONFIG, layer, ifmap, mapping)
    assert [c.opcode for c in program.commands] == [
        *[Opcode.SET] * 3,
        *[Opcode.LOAD] * 2,
        *[Opcode.COMPUTE] * 4,
        Opcode.STORE,
        Opcode.END,
    ]
    run(program)
    return program


def refused(program, message, config=CONFIG):
    with pytest.raises(ConfigError) as error:
        run(program, config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


WALK, UNIT, DRAIN = 0, 1, 2  # commands of the fixture

LIMITS = [
    (5, {"units": 0}, "units must be at least 1, not 0"),
    (WALK, {"p": 2, "psums": 2}, "psums must be at least 3, not 2"),
    (WALK, {"psums": 4}, "psums must be 3 (q in depthwise mode, else p), not 4"),
    (WALK, {"p": 17, "psums": 17}, "psums must be at most 16 (spad.psums), not 17"),
    (UNIT, {"filters": 257}, "filters must be at most 128 (spad.filters), not 257"),
    (UNIT, {"filters": 35}, "filters must be 36 (p * q * taps), not 35"),
    (UNIT, {"filter_words": 4}, "filter_words must be 5 (ceil(filters / 8)), not 4"),
    (UNIT, {"unit_words": 4}, "unit_words must be 5 (wm * filter_words), not 4"),
    (UNIT, {"columns": 3}, "columns must be 2 (we * wf * wm), not 3"),
    (UNIT, {"columns": 6}, "columns must be at most 5 (array.cols), not 6"),
    (UNIT, {"ifmap_mask": 5}, "ifmap_mask must be 1 (piece 0), not 5"),
    (UNIT, {"filter_mask": 1}, "filter_mask must be 3 (filter set 0), not 1"),
    (UNIT, {"advance_beats": 2}, "advance_beats must be 1 (advance * beats), not 2"),
    (UNIT, {"span_beats": 2}, "span_beats must be 3 (span * beats), not 2"),
    (5, {"passes": 2}, "passes must be 1 (ceil(units / array.rows)), not 2"),
    (WALK, {"span": 2}, "span must be 3 ((taps - 1) * dilation + 1), not 2"),
    (WALK, {"span": 17}, "span * beats must be at most 16 (beats of the ring), not 17"),
    (WALK, {"steps": 171}, "steps * psums must be at most 512 (psum_bank.depth), not 513"),
    (WALK, {"taps": 0}, "taps must be at least 1, not 0"),
    (WALK, {"tap_pitch": 8}, "tap_pitch must be 4 (4 * beats * dilation), not 8"),
    (WALK, {"position_gap": 1}, "position_gap must be 0 where advance is less than span"),
    (WALK, {"we_step": 6}, "we_step and row_step must be multiples of the same pitch"),
    (5, {"lane0": 1}, "beats must be at least 2, not 1"),
    (5, {"y0": -4097}, "y0 must keep ifmap coordinates from -4096 to 4095"),
    (5, {"x0": 4095}, "x0 must keep ifmap coordinates from -4096 to 4095"),
    (6, {"first": 1}, "first must be 0: a tile is in progress"),
    (5, {"first": 0}, "first must be 1: no tile is started"),
    (5, {"ifmap_base": 9000}, "ifmap_base must keep to the 8192 words of the GLB's fmaps"),
    (5, {"filter_base": 9000}, "filter_base must keep to the 8192 words of the GLB's filters"),
    (6, {"param_base": 9000}, "param_base must keep to the 8192 words of the GLB's filters"),
    (6, {"param_base": 3}, "param_base leads to unusable parameters: a TFLITE"),
    (6, {"ofmap_base": 9000}, "ofmap_base must keep to the 8192 words of the GLB's fmaps"),
    (3, {"space": 2}, "space must be FMAP (0) or FILTER (1), not 2"),
    (9, {"space": 1}, "space must be FMAP (0) or COUNTERS (2), not 1"),
    (3, {"memory_address": 12}, "memory_address must be a multiple of 8, not 12"),
    (3, {"memory_stride1": 4}, "memory_stride1 must be a multiple of 8, not 4"),
    (3, {"memory_address": 1 << 20}, "memory_address must keep to the 32768 words of memory"),
    (3, {"glb_address": 8180}, "glb_address must keep to the 8192 words of the GLB's fmaps"),
    (9, {"memory_address": 320}, "memory_address must keep away from the program that is running"),
]


@pytest.mark.parametrize(("number", "changes", "message"), LIMITS)
def test_limits(program, number, changes, message):
    program.commands[number].values.update(changes)
    refused(program, message)


def test_messages_name_number_opcode_and_tag(program):
    program.commands[6].values["units"] = 0
    refused(program, "command 6 (COMPUTE, tag 7): units must be")


def test_chained_psums_must_fit(program):
    narrow = replace(CONFIG, spad=replace(CONFIG.spad, psum_width=19))  # 15 products
    refused(
        program, "rows * q * taps must be at most 15 (products in spad.psum_width bits)", narrow
    )


def test_depthwise_chains_are_taps_only():
    """q lanes are q psums, so they do not add up."""
    rng = np.random.default_rng(9)
    narrow = replace(CONFIG, spad=replace(CONFIG.spad, psum_width=19))
    layer = convolution(rng, 16, 16, 3, 3, 16)
    check(layer, (16, 4, 4), Mapping(1, 8, 3, we=2, steps=2), rng, narrow)


def test_depthwise_holds_one_filter():
    rng = np.random.default_rng(10)
    layer = convolution(rng, 4, 4, 1, 1, 4)
    ifmap = rng.integers(-128, 128, (4, 2, 2), np.int8)
    program = convolution_program(CONFIG, layer, ifmap, Mapping(1, 4, 1, steps=2))
    program.commands[WALK].values["p"] = 2
    refused(program, "p must be 1 (1 in depthwise mode), not 2")
    program.commands[WALK].values.update(p=1, wm=2)
    refused(program, "wm must be 1 (1 in depthwise mode), not 2")


def test_tables_need_hardware():
    rng = np.random.default_rng(11)
    table = rng.integers(-128, 128, 256, np.int8)
    layer = convolution(rng, 4, 3, 1, 1, how=requantization(3, rng, table=table))
    program, _ = check(layer, (4, 2, 2), Mapping(3, 4, 1, steps=2), rng)
    refused(program, "table must be 0: ppu.tables is false", replace(CONFIG, ppu=Ppu(tables=False)))


def test_segments_of_a_tile_have_one_shape(program):
    steps = replace(program.commands[WALK], values=program.commands[WALK].values | {"steps": 2})
    program.commands.insert(6, steps)
    refused(program, "steps, psums, depthwise must be (2, 1, 1, 3, 3, 0) in all of a tile, not")


def test_the_last_tile_must_drain(program):
    program.commands[8].values["last"] = 0
    refused(program, "command 10 (END, tag 0): the last COMPUTE must have last = 1")


def test_words_that_only_meet_zero_filters_need_not_exist():
    """C = 16 in chunks of 5: the last unit's lanes reach into a third block, beyond the GLB."""
    rng = np.random.default_rng(12)
    small = replace(CONFIG, glb=Glb(1, 4))  # 128 words: ifmap and ofmap fill them
    layer = convolution(rng, 16, 8, 1, 1)
    ifmap = rng.integers(-128, 128, (16, 6, 7), np.int8)
    program = convolution_program(small, layer, ifmap, Mapping(8, 5, 1, we=3, steps=7))
    program.commands[3].values["glb_address"] = 44
    program.commands[-2].values["glb_address"] = 0
    for tile in program.tiles:
        tile["ifmap_base"] += 44
        tile["ofmap_base"] -= 84
    _, ofmap = run(program, small)
    np.testing.assert_array_equal(ofmap, golden.convolution(ifmap, layer))
    for tile in program.tiles:
        tile["lane0"] = 1  # now channel 15's filters meet lane 16
    refused(program, "ifmap_base must keep to the 128 words", small)


VECTOR_RULES = [
    ({"op": 3}, "op must be one of [0], not 3"),
    ({"rows": 0}, "rows must be at least 1, not 0"),
    ({"blocks": 0}, "blocks must be at least 1, not 0"),
    ({"y_step": 4}, "y_step must be stride_y * in_pitch, not 4"),
    ({"out_base": 17}, "out_base must lead to words that the command does not read"),
    ({"in_base": 8190}, "in_base must keep to the 8192 words of the GLB's fmaps"),
    ({"out_base": 8190}, "out_base must keep to the 8192 words of the GLB's fmaps"),
]


@pytest.mark.parametrize(("changes", "message"), VECTOR_RULES)
def test_vector_rules(changes, message):
    interpreter = Interpreter(CONFIG, np.zeros(8, np.uint8))
    layer = MaxPool("pool", "ifmap", "ofmap", (2, 2), (2, 2))
    load_window, pool = pool_commands(layer, (8, 6, 6), 36, **changes)
    interpreter.step(load_window)
    with pytest.raises(ConfigError) as error:
        interpreter.step(pool)
    assert str(error.value).startswith(f"command 1 (VECTOR, tag 0): {message}")


# Programs as a whole


def test_no_end(program):
    memory = program.image()
    with pytest.raises(ConfigError, match="the program has no END among its 10 commands"):
        Interpreter(CONFIG, memory).run(0, len(program.commands) - 1)


def test_commands_behind_end_do_not_run(program):
    program.commands.append(Command(Opcode.STORE, Engine.STORE, fields({"memory_address": 4})))
    interpreter, _ = run(program)
    assert interpreter.number == len(program.commands) - 1


def test_undefined_commands(program):
    memory = program.image()
    memory[64] = 0x0F
    with pytest.raises(ConfigError, match=r"^command 2: 15 is not a valid Opcode"):
        Interpreter(CONFIG, memory).run(0, len(program.commands))
    memory[64:66] = (0x12, 0x02)  # SET of block 8 of COMPUTE
    with pytest.raises(ConfigError, match=r"^command 2: engine COMPUTE has no register block 8"):
        Interpreter(CONFIG, memory).run(0, len(program.commands))


@pytest.mark.parametrize("opcode", [Opcode.SET, Opcode.END])
def test_set_and_end_take_and_give_no_tokens(program, opcode):
    command = program.commands[program.index(opcode)]
    command.wait = LOAD
    refused(program, f"({opcode.name}, tag 0): wait and give must be 0")
    command.wait, command.give = 0, STORE
    refused(program, f"({opcode.name}, tag 0): wait and give must be 0")


def test_program_address(program):
    interpreter = Interpreter(CONFIG, program.image())
    with pytest.raises(ConfigError, match="program_address must be a multiple of 64, not 32"):
        interpreter.run(32, 4)
    with pytest.raises(ConfigError, match="the program must lie in the 262144 bytes of memory"):
        interpreter.run(1 << 18, 1)


@pytest.mark.parametrize(
    "memory", [np.zeros(12, np.uint8), np.zeros(16, np.int8), np.zeros((2, 8), np.uint8)]
)
def test_memory_is_words(memory):
    with pytest.raises(ConfigError, match="memory must be uint8 in whole words of 8 bytes"):
        Interpreter(CONFIG, memory)


# Tokens and races


def test_waits_need_a_give_before(program):
    program.commands[4].give = 0
    refused(
        program,
        "command 5 (COMPUTE, tag 7): wait must name engines that gave a token before, "
        "and LOAD has none left for COMPUTE",
    )


def test_no_tokens_to_oneself(program):
    program.commands[5].give = COMPUTE
    refused(program, "give must not name the command's own engine, COMPUTE")
    program.commands[5].give = 0
    program.commands[5].wait = COMPUTE | LOAD
    refused(program, "wait must not name the command's own engine, COMPUTE")


def test_left_over_tokens_are_a_warning(program):
    program.commands[8].give = STORE | LOAD
    program.commands[9].give = LOAD
    interpreter, _ = run(program)
    assert interpreter.warnings == [
        "1 tokens from COMPUTE to LOAD are left over at END",
        "1 tokens from STORE to LOAD are left over at END",
    ]
    assert interpreter.tokens[Engine.STORE, Engine.LOAD] == 1
    interpreter.run(0, len(program.commands))  # which starts without them
    assert interpreter.tokens[Engine.STORE, Engine.LOAD] == 1


def test_token_counters_must_not_overflow():
    interpreter = Interpreter(CONFIG, np.zeros(8, np.uint8))
    command = Command(Opcode.LOAD, Engine.LOAD, fields({"n0": 0}), give=STORE)
    for _ in range(TOKEN_LIMIT):
        interpreter.step(command)
    with pytest.raises(ConfigError, match="at most 128 tokens from LOAD to STORE, not 129"):
        interpreter.step(command)


def test_compute_before_its_ifmap_is_loaded_is_a_race(program):
    program.commands[5].wait = 0
    refused(
        program,
        "command 5 (COMPUTE, tag 7): COMPUTE reads word 0 of the GLB's filters, which command 4 "
        "(LOAD) wrote, and no tokens keep them in order",
    )


def test_store_before_the_drain_is_a_race(program):
    program.commands[9].wait = 0
    refused(
        program,
        "command 9 (STORE, tag 0): STORE reads word 15 of the GLB's fmaps, which command 8 "
        "(the drain of COMPUTE) wrote",
    )


def test_a_token_of_the_first_segment_does_not_cover_the_second(program):
    program.commands[5].give, program.commands[8].give = STORE, 0
    refused(program, "STORE reads word 15 of the GLB's fmaps, which command 8")


def test_a_segments_token_covers_the_tiles_before_it(program):
    """Gives are in order, so the last segment's token comes after the first tile's drain too."""
    first_tile = program.commands[9]
    first_tile.wait = COMPUTE
    program.commands[8].give, program.commands[7].give = 0, STORE
    first_tile.values["byte_enable"] = 0b111
    refused(program, "which command 8 (the drain of COMPUTE) wrote")
    # Without the second tile its token is enough.
    last = program.commands[7]
    last.values.update(last=0)
    del program.commands[8]
    interpreter = Interpreter(CONFIG, program.image())
    interpreter.restart()
    for command in program.commands[:-1]:
        interpreter.step(command)


def pieces():
    """A LOAD of the word that a COMPUTE of one step reads, and of its filters, and a drain."""
    rng = np.random.default_rng(13)
    layer = convolution(rng, 8, 3, 1, 1)
    program = convolution_program(CONFIG, layer, np.zeros((8, 1, 1), np.int8), Mapping(3, 8, 1))
    sets, (fmap, filters), (compute,) = (
        program.commands[:3],
        program.commands[3:5],
        program.commands[5:6],
    )
    interpreter = Interpreter(CONFIG, program.image())
    interpreter.restart()
    for command in (*sets, fmap, filters, at(compute, wait=LOAD)):
        interpreter.step(command)
    return interpreter, fmap, filters, compute


def at(command, wait=0, give=0, **values):
    return replace(command, wait=wait, give=give, values=command.values | values)


def test_loading_over_an_ifmap_that_is_being_read_is_a_race():
    interpreter, fmap, _, _ = pieces()
    with pytest.raises(ConfigError, match="LOAD writes word 0 of the GLB's fmaps, which command 5"):
        interpreter.step(at(fmap))


def test_loading_over_parameters_that_are_being_read_is_a_race():
    interpreter, _, filters, compute = pieces()
    address = compute.values["param_base"]
    with pytest.raises(ConfigError, match=f"LOAD writes word {address} of the GLB's filters"):
        interpreter.step(at(filters, glb_address=address, n0=1))


def test_a_token_lets_load_go_on():
    interpreter, fmap, filters, compute = pieces()
    interpreter.step(at(compute, give=LOAD))
    interpreter.step(at(fmap, wait=COMPUTE))
    interpreter.step(at(filters))


def test_a_token_to_load_does_not_cover_the_drain():
    interpreter, fmap, _, compute = pieces()
    interpreter.step(at(compute, give=LOAD))
    with pytest.raises(ConfigError, match=r"which command 6 \(the drain of COMPUTE\) wrote"):
        interpreter.step(at(fmap, wait=COMPUTE, glb_address=compute.values["ofmap_base"]))


def test_the_drain_covers_load_by_way_of_store():
    interpreter, fmap, _, compute = pieces()
    interpreter.step(at(compute, give=STORE))
    store = Command(Opcode.STORE, Engine.STORE, fields({"memory_address": OFMAP, "n0": 1}))
    interpreter.step(at(store, wait=COMPUTE, give=LOAD))
    interpreter.step(at(fmap, wait=STORE, glb_address=compute.values["ofmap_base"]))


def test_reading_what_an_earlier_tile_drains_needs_a_fence():
    interpreter, _, _, compute = pieces()
    following = at(compute, ifmap_base=compute.values["ofmap_base"], ofmap_base=2)
    with pytest.raises(
        ConfigError, match=r"COMPUTE reads word 1 .* \(the drain of COMPUTE\) wrote"
    ):
        interpreter.step(following)
    interpreter.step(at(following, fence=1))


def test_draining_over_what_the_next_tile_reads_is_a_race():
    """The tile before last still drains into the word, and this one may already read it."""
    interpreter, _, _, compute = pieces()
    interpreter.step(at(compute, ofmap_base=0))  # its own ifmap: read before the drain begins
    with pytest.raises(ConfigError, match="COMPUTE reads word 0 of the GLB's fmaps"):
        interpreter.step(at(compute, ofmap_base=2))


def test_draining_over_what_store_reads_is_a_race():
    store = Command(Opcode.STORE, Engine.STORE, fields({"glb_address": 1, "memory_address": OFMAP}))
    interpreter, _, _, compute = pieces()
    barrier(interpreter)
    interpreter.step(at(store, give=COMPUTE))
    interpreter.step(at(compute, wait=STORE))
    interpreter.step(at(store, wait=0, memory_address=OFMAP + 8, glb_address=2))
    with pytest.raises(ConfigError, match=r"which command 2 \(STORE\) reads, and no tokens"):
        interpreter.step(at(compute, ofmap_base=2))


def test_loading_from_memory_that_is_being_stored_is_a_race():
    interpreter, fmap, _, _ = pieces()
    barrier(interpreter)
    store = Command(Opcode.STORE, Engine.STORE, fields({"memory_address": OFMAP, "n0": 2}))
    interpreter.step(at(store, give=LOAD))
    word = OFMAP // 8
    load = at(fmap, memory_address=OFMAP, glb_address=50)
    with pytest.raises(ConfigError, match=f"LOAD reads word {word} of memory, which command 0"):
        interpreter.step(load)
    interpreter.step(at(load, wait=STORE))


def test_store_and_vector_are_in_order():
    interpreter, _, _, _ = pieces()
    barrier(interpreter)
    layer = MaxPool("pool", "ifmap", "ofmap", (1, 1))
    load_window, pool = pool_commands(layer, (8, 1, 1), 40)
    store = Command(
        Opcode.STORE, Engine.STORE, fields({"glb_address": 40, "memory_address": OFMAP})
    )
    for command in (load_window, pool, store, pool):
        interpreter.step(command)
