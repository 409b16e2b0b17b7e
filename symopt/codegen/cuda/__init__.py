"""Kernels to CUDA C: one text that NVRTC compiles for a GPU and any C++ compiler for the emulator."""
