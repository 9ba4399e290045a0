"""TIR kernels by kind. Each builder takes static shapes and returns a `Kernel`; its numpy twin is in `twins.py`."""
