# piece: bpe_merges
# verdict: right
# style: every token is one character of a str and str.replace does the joining

from collections import Counter


def bpe_merges(words, num_merges):
    texts = {"".join(map(chr, word)): n for word, n in words.items()}
    learnt = []
    for step in range(num_merges):
        pairs = Counter()
        for text, n in texts.items():
            for i in range(len(text) - 1):
                pairs[text[i : i + 2]] += n
        if not pairs:
            break
        top = max(pairs.values())
        best = min(p for p, n in pairs.items() if n == top)
        learnt.append((ord(best[0]), ord(best[1])))
        texts = {text.replace(best, chr(256 + step)): n for text, n in texts.items()}
    return learnt
