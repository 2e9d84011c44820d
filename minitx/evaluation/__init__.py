"""How good is it? Figures of a model and of its vectors, how sure they are, and what decided an answer."""
