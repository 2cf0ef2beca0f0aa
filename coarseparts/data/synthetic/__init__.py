"""Worlds with known truth, made without a download."""
