# piece: length_batches
# verdict: wrong
# mistake: the last batch is appended even if it is empty, when the rows divide evenly or there are none
# style: fill a batch, append when full
def length_batches(lengths, batch_size):
    pairs = sorted((length, row) for row, length in enumerate(lengths))
    batches = []
    batch = []
    for _, row in pairs:
        batch.append(row)
        if len(batch) == batch_size:
            batches.append(batch)
            batch = []
    batches += [batch]
    return batches
