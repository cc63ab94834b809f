"""Kernels as C: readable, self-contained text that the system's compiler turns into a shared library at first use."""
