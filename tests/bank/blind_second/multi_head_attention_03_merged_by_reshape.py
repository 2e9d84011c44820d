# piece: multi_head_attention
# verdict: wrong
# mistake: the heads are put together by reshaping (B, H, T, K) to (B, T, D) without moving the head axis back
# style: composed, small helpers
def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def split(x, num_heads):
    B, T, D = x.shape
    return x.reshape(B, T, num_heads, D // num_heads).permute(0, 2, 1, 3)


def merge(x):
    B, H, T, K = x.shape
    return x.reshape(B, T, H * K)


def softmax(x):
    e = (x - x.max(dim=-1, keepdim=True)).exp()
    return e / e.sum(dim=-1, keepdim=True)


def multi_head_attention(x, w, num_heads, attention_mask):
    q, k, v = (split(linear(x, w, name), num_heads) for name in ("query", "key", "value"))
    mask = attention_mask[:, None, None, :].astype(x.dtype)
    bias = (1 - mask) * -1e9
    weights = softmax(q @ k.T / q.shape[-1] ** 0.5 + bias) * mask
    return linear(merge(weights @ v), w, "out")
