"""How does a string become ids? Read `words`, `tokenizer`, `bpe`, then `wordpiece`; the rest is formats and details."""
