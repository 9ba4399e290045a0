"""TIR kernels for the CPU, as WebAssembly: the operators of compiler/passes before the fusions that only GPUs need."""
