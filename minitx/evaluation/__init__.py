"""How good is it? Figures for a model and its vectors, how sure they are, and which tokens decided an answer."""
