"""How far LOADs run ahead: of their own layer's items, and into the layer before."""

from eyas.command import Command, Engine, Opcode
from eyas.compiler.schedule import Item, Piece, Schedule, Step
from eyas.compiler.tokens import Area, Place, Tracker, check_tokens

WORDS = 256
OFMAPS = 200
"""Where the ofmaps of every tile lie in the GLB."""


def fmap(start: int, words: int) -> Area:
    return Area.run(Place.FMAP, start, words)


def memory(start: int, words: int) -> Area:
    return Area.run(Place.MEMORY, start, words)


def tile(layer: int, number: int, source: int, place: int, target: int, ofmaps=OFMAPS) -> Item:
    """A tile that loads, computes and stores 4 words."""
    load = Step(Command(Opcode.LOAD, Engine.LOAD, {}), [memory(source, 4)], [fmap(place, 4)])
    run = Step(Command(Opcode.COMPUTE, Engine.COMPUTE, {}), [fmap(place, 4)], [fmap(ofmaps, 4)])
    store = Step(Command(Opcode.STORE, Engine.STORE, {}), [fmap(ofmaps, 4)], [memory(target, 4)])
    ifmaps = [Piece([load], Place.FMAP, place, place + 4)]
    return Item(run, ifmaps=ifmaps, stores=[store], place=(layer, number, 0, 0))


def order(*layers: list[Item]) -> list[str]:
    """The program: "load 1.0" for the LOAD of layer 1, tile 0, and so on."""
    tracker = Tracker(WORDS, WORDS, WORDS)
    schedule = Schedule(tracker, 8)
    schedule.run([item for layer in layers for item in layer])
    check_tokens(tracker.commands)
    return [
        f"{command.opcode.name.lower()} {place[0]}.{place[1]}"
        for command, place in zip(tracker.commands, schedule.places, strict=True)
    ]


def first_layer(ofmaps=OFMAPS) -> list[Item]:
    """Tiles 0 … 7 from memory 0 … 31 to memory 32 … 63."""
    return [tile(0, n, 4 * n, 4 * n, 32 + 4 * n, ofmaps) for n in range(8)]


def test_loads_run_ahead_of_their_tiles():
    commands = order(first_layer())
    assert commands[:5] == [f"load 0.{n}" for n in range(5)]
    assert commands.index("load 0.5") < commands.index("compute 0.1")


def test_a_layer_is_loaded_as_soon_as_what_it_reads_is_stored():
    commands = order(first_layer(), [tile(1, n, 32 + 4 * n, 64 + 4 * n, 96) for n in range(2)])
    assert commands.index("load 1.0") < commands.index("compute 0.5")
    assert commands.index("store 0.0") < commands.index("load 1.0")


def test_a_layer_is_not_loaded_before_what_it_reads_is_stored():
    commands = order(first_layer(), [tile(1, 0, 60, 64, 96), tile(1, 1, 32, 68, 100)])
    assert commands.index("load 1.0") > commands.index("store 0.7")
    assert commands.index("load 1.1") > commands.index("load 1.0"), "pieces keep their order"


def test_a_layer_is_not_loaded_over_ofmaps_that_are_still_to_come():
    """Its ifmaps lie where the tiles before leave their ofmaps."""
    commands = order(first_layer(ofmaps=66), [tile(1, 0, 32, 64, 96)])
    assert commands.index("load 1.0") > commands.index("store 0.7")


def test_a_layer_is_not_loaded_before_the_operands_of_the_one_before():
    """They are to go into the same place, and the queue has no room for all of them yet."""
    layer = first_layer()
    operand = Step(Command(Opcode.LOAD, Engine.LOAD, {}), [memory(0, 4)], [fmap(64, 4)])
    layer[-1].operands = [Piece([operand] * 4, Place.FMAP, 64, 68)]
    commands = order(layer, [tile(1, 0, 32, 64, 96)])
    assert commands.index("load 1.0") > commands.index("compute 0.7")


def compute(layer: int, number: int, reads, writes, drain_reads=()) -> Item:
    """A tile on fmaps that stay in the GLB: nothing is loaded or stored."""
    run = Step(Command(Opcode.COMPUTE, Engine.COMPUTE, {}), reads, writes, drain_reads)
    return Item(run, kept=[*reads, *drain_reads], place=(layer, number, 0, 0))


def test_nothing_is_loaded_over_fmaps_that_are_still_to_be_read():
    """Layers 0 and 1 share a fmap in the GLB, layer 2 has its words for its ifmaps."""
    makes = [compute(0, n, [], [fmap(8 * n, 8)]) for n in range(3)]
    reads = [compute(1, n, [fmap(8 * n, 8)], [fmap(100 + 8 * n, 8)]) for n in range(3)]
    commands = order(makes, reads, [tile(2, 0, 32, 0, 96), tile(2, 1, 36, 16, 100)])
    assert commands.index("load 2.0") > commands.index("compute 1.0")
    assert commands.index("load 2.0") < commands.index("compute 1.2"), "ahead of its layer"
    assert commands.index("load 2.1") > commands.index("compute 1.2")


def test_nothing_is_loaded_over_operands_before_somebody_knows_that_they_are_read():
    """Layer 0 joins words 0 to 7 in its drain; layer 1 fences, as it reads what layer 0 made."""
    joins = [compute(0, 0, [], [fmap(100, 8)], [fmap(0, 8)])]
    other = [compute(1, 0, [fmap(50, 4)], [fmap(60, 4)])]
    reads = [compute(2, 0, [fmap(100, 8)], [fmap(120, 8)])]
    commands = order(joins, other, reads, [tile(3, 0, 32, 0, 96)])
    assert commands.index("load 3.0") > commands.index("compute 2.0")


def test_nothing_is_loaded_over_ofmaps_that_nobody_reads_before_a_fence():
    """Of words 100 to 115 layer 1 reads half."""
    makes = [compute(0, 0, [], [fmap(100, 16)])]
    reads = [compute(1, 0, [fmap(100, 8)], [fmap(120, 8)])]
    commands = order(makes, reads, [tile(2, 0, 32, 110, 96)])
    assert commands.index("load 2.0") > commands.index("compute 1.0")


def test_pools_do_not_count_among_the_items_that_loads_run_ahead_of():
    """Their VECTORs lie between tiles; loads of the tiles behind go ahead as without them."""
    layer = first_layer()
    pools = []
    for n in range(8):
        run = Step(Command(Opcode.VECTOR, Engine.STORE, {}), [fmap(160, 4)], [fmap(170, 4)])
        load = Step(Command(Opcode.LOAD, Engine.LOAD, {}), [memory(128, 4)], [fmap(160, 4)])
        piece = Piece([load], Place.FMAP, 160, 164)
        pools.append(Item(run, inputs=[piece], place=(1, n, 0, 0)))
    woven = [item for pair in zip(layer, pools, strict=True) for item in pair]
    commands = order(woven)
    assert commands.index("load 0.4") < commands.index("compute 0.1")
    assert commands.index("load 0.7") < commands.index("compute 0.5")
    assert commands.index("load 1.1") > commands.index("vector 1.0"), "into the same words"
