"""The parameter fetch alone: a half is not written before its values have left the lanes."""

from amaranth.sim import Simulator

from eyas.config import Config
from eyas.hw.param_fetch import ParamFetch

TILE = {"wm": 1, "p": 3, "table": 1}


def test_waits_for_the_half_to_be_released():
    dut = ParamFetch(Config.load("tiny4x4"))
    halves = []

    async def memory(ctx):
        """Answers two cycles after each request."""
        read = dut.read
        ctx.set(read.request.ready, 1)
        first = second = 0
        while True:
            first, second = ctx.get(read.request.valid), first
            ctx.set(read.valid, second)
            await ctx.tick()

    async def writes(ctx):
        ports = dut.param_write, dut.param_address, dut.table_write, dut.table_address
        async for _, _, param, param_address, table, table_address in ctx.tick().sample(*ports):
            if param:
                halves.append(param_address >> len(dut.param_address) - 1)
            if table:
                halves.append(table_address >> len(dut.table_address) - 1)

    async def tiles(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.payload, TILE)
        ctx.set(dut.i.valid, 1)
        for half in (0, 1):
            await ctx.tick().until(dut.params_read)
            assert halves == [half] * (3 + 256)
            halves.clear()
        await ctx.tick().repeat(500)
        ctx.set(dut.released, 0b10)  # the other half
        await ctx.tick()
        ctx.set(dut.released, 0)
        await ctx.tick().repeat(500)
        assert halves == []
        ctx.set(dut.released, 0b01)
        await ctx.tick()
        ctx.set(dut.released, 0)
        await ctx.tick().until(dut.params_read)
        assert halves == [0] * (3 + 256)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(tiles)
    simulator.add_testbench(memory, background=True)
    simulator.add_testbench(writes, background=True)
    simulator.run()
