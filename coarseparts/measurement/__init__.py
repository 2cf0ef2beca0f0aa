"""Traits of parts, with units and intervals: shapes, formulas, scale, intervals, folder (photographs -> tables)."""
