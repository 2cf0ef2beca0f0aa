"""Segment the parts of objects from a few part masks and many coarse labels."""
