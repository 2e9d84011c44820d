"""What is a derivative? engine (order and sums), tensor (primitive ops), functional (fused), context (of a thread)."""
