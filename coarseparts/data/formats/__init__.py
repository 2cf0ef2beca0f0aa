"""Readers: one file format each, from files to records."""
