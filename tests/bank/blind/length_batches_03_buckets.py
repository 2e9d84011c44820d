# piece: length_batches
# verdict: right
# style: buckets by length, an iterator of row numbers, islice

from collections import defaultdict
from itertools import chain, islice


def length_batches(lengths, batch_size):
    buckets = defaultdict(list)
    for row, length in enumerate(lengths):
        buckets[int(length)].append(row)
    rows = chain.from_iterable(buckets[length] for length in sorted(buckets))
    return list(iter(lambda: list(islice(rows, batch_size)), []))
