# piece: length_batches
# verdict: right
# style: a heap of (length, row), a batch is opened when the last one is full

import heapq


def length_batches(lengths, batch_size):
    heap = [(length, row) for row, length in enumerate(lengths)]
    heapq.heapify(heap)
    batches = []
    while heap:
        if not batches or len(batches[-1]) == batch_size:
            batches.append([])
        batches[-1].append(heapq.heappop(heap)[1])
    return batches
