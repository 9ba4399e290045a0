"""Writes the files of an artifact folder (docs/artifact.md)."""
