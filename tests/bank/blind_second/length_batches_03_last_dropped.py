# piece: length_batches
# verdict: wrong
# mistake: only full batches are made, the rows of a smaller last batch are lost
# style: sorted with a key, number of batches first
def length_batches(lengths, batch_size):
    rows = sorted(range(len(lengths)), key=lambda row: lengths[row])
    number = len(rows) // batch_size
    cut = []
    for i in range(number):
        first = i * batch_size
        cut.append(rows[first : first + batch_size])
    return cut
