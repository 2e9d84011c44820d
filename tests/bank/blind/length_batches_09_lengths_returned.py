# piece: length_batches
# verdict: wrong
# mistake: the batches hold the lengths instead of the row numbers
# style: sorted and slices


def length_batches(lengths, batch_size):
    s = sorted(lengths)
    return [s[i : i + batch_size] for i in range(0, len(s), batch_size)]
