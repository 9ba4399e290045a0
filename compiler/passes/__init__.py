"""Passes over Relax, one a file: each takes an IRModule and returns one. `compiler/pipeline.py` names their order."""
