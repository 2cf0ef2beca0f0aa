"""What the rest stands on: device, processes, files, locks, signals, and text and documents that strangers wrote."""
