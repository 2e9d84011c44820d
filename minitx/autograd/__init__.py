"""What is a derivative? engine (order and bookkeeping), tensor (primitive ops), functional (fused ops)."""
