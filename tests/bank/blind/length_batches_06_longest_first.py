# piece: length_batches
# verdict: wrong
# mistake: the longest rows come first
# style: sorted on negated lengths


def length_batches(lengths, batch_size):
    by_length = sorted(enumerate(lengths), key=lambda pair: -pair[1])
    numbers = [row for row, _ in by_length]
    batches = []
    while numbers:
        batches.append(numbers[:batch_size])
        numbers = numbers[batch_size:]
    return batches
