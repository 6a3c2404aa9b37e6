"""sim/interpreter.py: LOAD, STORE and VECTOR, word by word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter_cases import CONFIG, move, pool_commands

from eyas import layout
from eyas.command import Opcode, Space
from eyas.compiler.ir import MaxPool
from eyas.errors import ConfigError
from eyas.registers import Counter
from eyas.sim import golden
from eyas.sim.interpreter import Interpreter


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
    interpreter.step(move(Opcode.LOAD, **load))
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
    interpreter.restart()  # all of it is over
    memory[6144:] = 0x11
    interpreter.step(move(Opcode.STORE, **store))
    expected = np.full(2048, 0x11, np.uint8).reshape(-1, 8)
    for block in range(2):
        for y in range(3):
            for x in range(3):
                for lane in (0, 1, 4, 6):
                    expected[64 + 32 * block - 3 * y + x, lane] = words[block, y + 1, x + 2, lane]
    np.testing.assert_array_equal(memory[6144:].reshape(-1, 8), expected)


def test_counters_are_stored_as_64_bit_words():
    memory = np.zeros(1024, np.uint8)
    interpreter = Interpreter(CONFIG, memory)
    interpreter.counts[Counter.GLB_READS] = 0x1_2345_6789
    interpreter.counts[Counter.GLB_WRITES] = (1 << 48) + 5
    interpreter.step(move(Opcode.STORE, space=Space.COUNTERS, memory_address=256, n0=len(Counter)))
    stored = memory[256:].view("<u8")
    assert stored[Counter.GLB_READS] == 0x1_2345_6789
    assert stored[Counter.GLB_WRITES] == 5  # 48 bits wide
    assert stored[Counter.CYCLES] == 0
    assert interpreter.counts[Counter.GLB_DMA_WORDS] == 0
    assert interpreter.counts[Counter.MEMORY_WRITE_BYTES] == 8 * len(Counter)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_max_pool_equals_golden(data):
    window = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    layer = MaxPool(
        "pool",
        "ifmap",
        "ofmap",
        window,
        (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))),
        tuple(data.draw(st.integers(0, 2)) for _ in range(4)),
    )
    shape = (data.draw(st.integers(1, 20)), data.draw(st.integers(5, 9)), 7)
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
    columns = columns_read(layer, shape[2], expected.shape[2])
    for e in range(expected.shape[1]):
        y = e * layer.stride[0] - layer.padding[0]
        rows = sum(0 <= y + i < shape[1] for i in range(window[0]))
        counted += rows * columns * layout.channel_blocks(shape[0])
    assert interpreter.counts[Counter.GLB_VECTOR_WORDS] == counted


def columns_read(layer, w, ofmap_width):
    """Columns read for an ofmap row: each once for all windows, or for three where more overlap."""
    at_once = ofmap_width if layer.window[1] <= 3 * layer.stride[1] else 3
    lefts = [f * layer.stride[1] - layer.padding[1] for f in range(ofmap_width)]
    groups = [lefts[n : n + at_once] for n in range(0, ofmap_width, at_once)]
    return sum(
        len({x + t for x in group for t in range(layer.window[1])} & set(range(w)))
        for group in groups
    )


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
