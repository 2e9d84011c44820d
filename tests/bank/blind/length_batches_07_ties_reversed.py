# piece: length_batches
# verdict: wrong
# mistake: equal lengths come out in reverse order, because the list is sorted downwards and then turned round
# style: sort with reverse=True, then reversed


def length_batches(lengths, batch_size):
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    order = list(reversed(order))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
