# piece: mean_pool
# verdict: wrong
# mistake: the mask becomes a float64 array, which widens a float32 input to a float64 result
# style: composed, as in the sentence-transformers recipe with clip


def mean_pool(x, attention_mask):
    expanded = attention_mask[:, :, None].astype(float)
    total = (x * expanded).sum(dim=1)
    number = expanded.sum(axis=1).clip(min=1e-9)
    return total / number
