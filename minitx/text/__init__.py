"""How does a string become ids? Read `tokenizer`, then `bpe`, then `wordpiece`; the other two files read and write files."""
