"""A dataset file proposed from what lies in folders and exports: what is recognised there, and what is assumed."""
