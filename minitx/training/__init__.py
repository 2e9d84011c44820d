"""How does it learn? optim (one step), freezing (what trains), trainer (the loop), checkpoint (what is kept)."""
