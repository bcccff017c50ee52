"""Is a trained model wide enough for its tangent kernel, did it train lazily or learn features, and which layer moved."""
