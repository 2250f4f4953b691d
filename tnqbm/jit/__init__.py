"""What compiled kernels share: Numba's decorators and cache, vectors, random numbers."""
