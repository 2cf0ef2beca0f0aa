"""Training: settings, stages, methods and the run folder."""
