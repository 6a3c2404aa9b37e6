"""What the timing model says of programs that do not end well, and where it cannot run at all."""

import re
from dataclasses import replace

import pytest

from eyas.command import Engine, Opcode
from eyas.compiler.profile import with_profile
from eyas.compiler.writer import compile_graph
from eyas.config import Config
from eyas.errors import LinkError, ModelError
from eyas.registers import Counter
from eyas.sim import timing_library
from eyas.sim.layer_cases import LayerShape, layer_graph
from eyas.sim.timing_model import predict

CONFIG = Config.load("tiny4x4")


@pytest.fixture(scope="module")
def program():
    return compile_graph(layer_graph(LayerShape.parse("C=16,M=8,H=10,R=3,P=1")), CONFIG)


def index_of(program, opcode, nth=0):
    return [n for n, command in enumerate(program.commands) if command.opcode == opcode][nth]


def changed(program, number, **changes):
    """The program with other values in a command, or another header."""
    commands = list(program.commands)
    values = {name: changes.pop(name) for name in list(changes) if name in commands[number].values}
    commands[number] = replace(commands[number], values=commands[number].values | values, **changes)
    return replace(program, commands=commands)


def test_a_token_that_nobody_gives_locks_the_machine(program):
    giving = [n for n, c in enumerate(program.commands) if c.engine == Engine.LOAD and c.give]
    broken = changed(program, giving[0], give=0)
    # The first COMPUTE takes the token of a later LOAD; it is a later one that waits for ever.
    message = r"locks the machine: .*COMPUTE is at command (\d+), which waits for LOAD"
    with pytest.raises(LinkError, match=message) as caught:
        predict(broken, CONFIG)
    waiting = program.commands[int(re.search(message, str(caught.value))[1])]
    assert waiting.engine == Engine.COMPUTE
    assert waiting.wait & 1 << Engine.LOAD


def test_faults(program):
    load = index_of(program, Opcode.LOAD)
    with pytest.raises(LinkError, match="outside of the memory"):
        predict(changed(program, load, memory_address=program.memory_bytes), CONFIG)
    with pytest.raises(LinkError, match="a command's opcode, engine or block does not exist"):
        predict(changed(program, load, engine=Engine.COMPUTE), CONFIG)
    with pytest.raises(LinkError, match="the program has no END"):
        predict(replace(program, commands=program.commands[:-1]), CONFIG)


def test_a_limit_of_cycles(program):
    needed = predict(program, CONFIG).counters[Counter.CYCLES]
    assert predict(program, CONFIG, max_cycles=needed).counters[Counter.CYCLES] == needed
    with pytest.raises(LinkError, match=f"no end after {needed - 1} cycles: LOAD has no command"):
        predict(program, CONFIG, max_cycles=needed - 1)


def test_progress_counts_up(program):
    told = []
    prediction = predict(program, CONFIG, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == prediction.counters[Counter.CYCLES]


def test_array_busy_and_stalls_are_all_cycles(program):
    counters = predict(program, CONFIG).counters
    stalls = sum(n for counter, n in counters.items() if counter.name.startswith("STALL_"))
    assert counters[Counter.ARRAY_BUSY] + stalls == counters[Counter.CYCLES]


def test_shares_of_layers_only_where_the_program_stores_them(program):
    assert predict(program, CONFIG).profile == []
    profile = predict(with_profile(program), CONFIG).profile
    assert len(profile) == 1
    assert profile[0][Counter.USEFUL_MACS] == program.macs


def test_machines_without_counters_are_predicted_all_the_same(program):
    config = replace(CONFIG, control=replace(CONFIG.control, counter_width=0))
    bare = compile_graph(layer_graph(LayerShape.parse("C=16,M=8,H=10,R=3,P=1")), config)
    assert predict(bare, config).counters == predict(program, CONFIG).counters


def test_a_program_of_another_machine_is_refused(program):
    with pytest.raises(ModelError, match="was made for configuration tiny4x4"):
        predict(program, Config.load("edge8x8"))


def test_without_a_compiler(program, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    timing_library.timing_library.cache_clear()
    try:
        with pytest.raises(LinkError, match=r"simulation needs a C\+\+ compiler"):
            predict(program, CONFIG)
    finally:
        timing_library.timing_library.cache_clear()
