# piece: multi_head_attention
# verdict: wrong
# mistake: the mask is only used to zero samples without a token, padding keys are attended to
# style: heads folded into the batch axis

from minitx import Tensor


def multi_head_attention(x, w, num_heads, attention_mask):
    B, T, D = x.shape
    K = D // num_heads

    def project(name):
        t = x @ w[name + ".weight"].T + w[name + ".bias"]
        return t.reshape(B, T, num_heads, K).permute(0, 2, 1, 3).reshape(B * num_heads, T, K)

    q, k, v = map(project, ("query", "key", "value"))
    s = q @ k.transpose(1, 2) / K**0.5
    e = (s - s.max(dim=-1, keepdim=True)).exp()
    y = (e / e.sum(dim=-1, keepdim=True)) @ v
    y = y.reshape(B, num_heads, T, K).permute(0, 2, 1, 3).reshape(B, T, D)
    y = y * Tensor(attention_mask.any(axis=1).astype(x.dtype)[:, None, None])
    return y @ w["out.weight"].T + w["out.bias"]
