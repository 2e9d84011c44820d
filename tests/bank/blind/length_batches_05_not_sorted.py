# piece: length_batches
# verdict: wrong
# mistake: the rows are cut into batches in the order they came, without sorting
# style: range and slices


def length_batches(lengths, batch_size):
    rows = list(range(len(lengths)))
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
