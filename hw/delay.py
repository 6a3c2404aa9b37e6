"""Registers in a row."""

from amaranth.hdl import Module, Signal


def delayed(m: Module, value, cycles: int, name: str):
    """`value` as it was `cycles` cycles ago."""
    for cycle in range(cycles):
        register = Signal.like(value, name=f"{name}_{cycle + 1}")
        m.d.sync += register.eq(value)
        value = register
    return value
