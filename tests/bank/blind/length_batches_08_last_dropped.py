# piece: length_batches
# verdict: wrong
# mistake: the last batch is dropped when it is not full
# style: generator function and integer division


def length_batches(lengths, batch_size):
    ranked = sorted(range(len(lengths)), key=lambda row: (lengths[row], row))

    def cut():
        for b in range(len(ranked) // batch_size):
            yield ranked[b * batch_size : (b + 1) * batch_size]

    return list(cut())
