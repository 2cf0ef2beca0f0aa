"""What ``benchmarks/formats.py`` lets other tools' libraries judge."""
