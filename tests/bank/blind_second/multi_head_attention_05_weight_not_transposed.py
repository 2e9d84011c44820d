# piece: multi_head_attention
# verdict: wrong
# mistake: the linear layers compute x @ weight without transposing the weight
# style: helper class
class MultiHead:
    def __init__(self, w, num_heads):
        self.w = w
        self.H = num_heads

    def project(self, name, x):
        return x @ self.w[name + ".weight"] + self.w[name + ".bias"]

    def to_heads(self, x):
        return x.reshape(*x.shape[:2], self.H, -1).transpose(1, 2)

    def __call__(self, x, mask):
        q, k, v = (self.to_heads(self.project(n, x)) for n in ("query", "key", "value"))
        att = q @ k.transpose(-1, -2) / k.shape[-1] ** 0.5 + (mask - 1) * 1e9
        att = (att - att.max(dim=-1, keepdim=True)).exp()
        att = att / att.sum(dim=-1, keepdim=True) * mask
        joined = (att @ v).transpose(1, 2).reshape(*x.shape)
        return self.project("out", joined)


def multi_head_attention(x, w, num_heads, attention_mask):
    mask = attention_mask.astype(x.dtype)[:, None, None, :]
    return MultiHead(w, num_heads)(x, mask)
