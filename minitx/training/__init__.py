"""How does it learn? optim (one step), trainer (the loop), metrics, checkpoint (what is kept)."""
