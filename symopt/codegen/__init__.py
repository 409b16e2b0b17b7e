"""Kernels to text: LLVM IR for processors, and text for people."""
