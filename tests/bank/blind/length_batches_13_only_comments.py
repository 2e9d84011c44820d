# piece: length_batches
# verdict: empty
# style: nothing but comments

# def length_batches(lengths, batch_size):
#     first sort the rows, then cut them
