"""Brings what build.py needs to a bare computer. Runs on any Python >= 3.10 and imports only its standard library."""
