"""Reference arithmetic, program interpreter and RTL simulation."""
