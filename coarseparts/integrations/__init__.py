"""Modules that other tools load."""
