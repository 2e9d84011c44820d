# piece: length_batches
# verdict: wrong
# mistake: no rows, or a last batch that is full, leave an empty batch at the end
# style: running batch that is always appended at the end


def length_batches(lengths, batch_size):
    batches, batch = [], []
    for row in sorted(range(len(lengths)), key=lambda r: lengths[r]):
        batch.append(row)
        if len(batch) == batch_size:
            batches.append(batch)
            batch = []
    batches.append(batch)
    return batches
