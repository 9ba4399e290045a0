"""Measures gemlet beside other engines that run the same model in the same browser: `python build.py bench`."""
