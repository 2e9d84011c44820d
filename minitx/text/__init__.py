"""How does a string become ids? Read `words`, `tokenizer` and `bpe`; the rest is WordPiece, formats and details."""
