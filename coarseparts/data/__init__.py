"""Images and their labels: schema, samples, readers, the packed store, transforms and synthetic worlds."""
