# piece: bpe_merges
# verdict: wrong
# mistake: does not stop when no pair is left, min of an empty dict raises an error
# style: class with state


class Trainer:
    def __init__(self, words):
        self.rows = [(list(word), n) for word, n in words.items()]
        self.merges = []

    def counts(self):
        table = {}
        for row, n in self.rows:
            for i in range(1, len(row)):
                key = (row[i - 1], row[i])
                table[key] = table.get(key, 0) + n
        return table

    def step(self):
        table = self.counts()
        pair = min(table, key=lambda p: (-table[p], *p))
        token = 256 + len(self.merges)
        for row, _ in self.rows:
            i = 0
            while i + 1 < len(row):
                if (row[i], row[i + 1]) == pair:
                    row[i] = token
                    del row[i + 1]
                i += 1
        self.merges.append(pair)


def bpe_merges(words, num_merges):
    trainer = Trainer(words)
    for _ in range(num_merges):
        trainer.step()
    return trainer.merges
