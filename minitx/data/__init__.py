"""Where do batches come from? reviews (read, clean, label), split (without leaks), batches (pad, mask); and sources."""
