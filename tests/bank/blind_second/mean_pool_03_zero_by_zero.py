# piece: mean_pool
# verdict: wrong
# mistake: a sample without a real token is divided by a count of 0 and gives NaN instead of zeros
# style: product of the mask as a row and the tokens
from minitx import Tensor


def mean_pool(x, attention_mask):
    row = attention_mask.astype(x.dtype)
    row = Tensor(row).unsqueeze(1)  # (B, 1, T)
    summed = (row @ x).squeeze(1)
    count = row.sum(dim=2)
    return summed / count
