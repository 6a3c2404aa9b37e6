"""Eyas: DNN inference accelerators, generated."""
