"""The page where people look at parts, give labels and correct them, and the service for the tools they work in."""
