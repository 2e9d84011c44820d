"""Is my own code right? Plain twins of every fused op, gradient checks, and checks of a whole model."""
