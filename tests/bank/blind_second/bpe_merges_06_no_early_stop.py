# piece: bpe_merges
# verdict: wrong
# mistake: nothing stops the loop when no pair is left, and min() of an empty dict raises an error
# style: class that holds the vocabulary
class Trainer:
    def __init__(self, words):
        self.words = [(list(tokens), count) for tokens, count in words.items()]
        self.merges = []

    def counts(self):
        found = {}
        for tokens, count in self.words:
            for pair in zip(tokens, tokens[1:]):
                found[pair] = found.get(pair, 0) + count
        return found

    def join(self, pair):
        new = 256 + len(self.merges)
        for tokens, _ in self.words:
            for i in range(len(tokens)):
                if tuple(tokens[i : i + 2]) == pair:
                    tokens[i : i + 2] = [new]
        self.merges.append(pair)


def bpe_merges(words, num_merges):
    trainer = Trainer(words)
    for _ in range(num_merges):
        counts = trainer.counts()
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        trainer.join(best)
    return trainer.merges
