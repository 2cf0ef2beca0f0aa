"""Measures, tables, pictures and the report. Imports nothing else of this package."""
