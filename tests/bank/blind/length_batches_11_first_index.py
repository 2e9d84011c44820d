# piece: length_batches
# verdict: wrong
# mistake: looks a length up with index, so rows of equal length all get the number of the first one
# style: sorted lengths and list.index


def length_batches(lengths, batch_size):
    values = list(lengths)
    rows = [values.index(n) for n in sorted(values)]
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
