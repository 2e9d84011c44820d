"""Where do batches come from? Reviews (read, clean, label, split), samples (synthetic reviews), batches (pad, mask)."""
