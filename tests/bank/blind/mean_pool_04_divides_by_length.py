# piece: mean_pool
# verdict: wrong
# mistake: the sum is divided by T instead of the number of real tokens
# style: composed, Tensor mean

from minitx import Tensor


def mean_pool(x, attention_mask):
    keep = Tensor(attention_mask.astype(x.dtype)).unsqueeze(-1)
    return (x * keep).mean(dim=1)
