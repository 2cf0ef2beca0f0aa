"""Public data sets as their authors publish them, turned into a dataset file: one module per data set; ``output``."""
