"""What to label next: views (what a model sees), orders (which image first), seconds (of a label), choose (a list)."""
