"""How does a string become ids? Read `words`, `tokenizer`, `bpe`, `wordpiece`; the rest is formats and tables."""
