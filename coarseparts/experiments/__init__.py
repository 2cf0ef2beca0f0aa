"""Many runs: benchmarks, sweeps, the demonstration, and their tables."""
