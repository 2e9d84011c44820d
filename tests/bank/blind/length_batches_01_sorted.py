# piece: length_batches
# verdict: right
# style: sorted with a key, slices in a comprehension


def length_batches(lengths, batch_size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
