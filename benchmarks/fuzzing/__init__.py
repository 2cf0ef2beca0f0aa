"""The campaign behind ``benchmarks/fuzz.py``: small data sets and runs, damaged, and what the command line says."""
