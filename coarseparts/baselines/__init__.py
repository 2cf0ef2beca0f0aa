"""What EM is compared with: one file each, sharing networks, labels and data with it."""
