# piece: length_batches
# verdict: wrong
# mistake: the row is looked up with list.index, so rows of equal length all become the first of them
# style: sort the lengths, find the rows again
def length_batches(lengths, batch_size):
    remaining = [int(length) for length in lengths]
    rows = []
    for length in sorted(remaining):
        row = remaining.index(length)
        rows.append(row)
    batches = []
    while rows:
        batches.append(rows[:batch_size])
        rows = rows[batch_size:]
    return batches
