# piece: multi_head_attention
# verdict: wrong
# mistake: the scores are divided by the square root of the model width D, not of the head width K
# style: loop over heads, results joined with cat
import math

from minitx.autograd.tensor import cat


def multi_head_attention(x, w, num_heads, attention_mask):
    d_model = x.shape[-1]
    d_head = d_model // num_heads
    scale = 1 / math.sqrt(d_model)
    real = attention_mask[:, None, :].astype(x.dtype)

    q = x @ w["query.weight"].T + w["query.bias"]
    k = x @ w["key.weight"].T + w["key.bias"]
    v = x @ w["value.weight"].T + w["value.bias"]

    heads = []
    for h in range(num_heads):
        part = slice(h * d_head, (h + 1) * d_head)
        scores = q[:, :, part] @ k[:, :, part].T * scale
        scores = scores - (1 - real) * 1e9
        e = (scores - scores.max(dim=-1, keepdim=True)).exp()
        a = e / e.sum(dim=-1, keepdim=True) * real
        heads.append(a @ v[:, :, part])
    return cat(heads, dim=-1) @ w["out.weight"].T + w["out.bias"]
