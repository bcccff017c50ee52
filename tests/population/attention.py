"""Attention as users write it."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NanoAttention(nn.Module):
    """Causal attention of one fused projection, by torch's kernel or written out with a registered mask."""

    def __init__(self, width: int, heads: int, block_size: int, fused: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attn_dropout, self.resid_dropout = nn.Dropout(0.1), nn.Dropout(0.1)
        self.n_head, self.n_embd, self.flash = heads, width, fused
        if not fused:
            mask = torch.tril(torch.ones(block_size, block_size))
            self.register_buffer("bias", mask.view(1, 1, block_size, block_size))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        if self.flash:
            dropout = 0.1 if self.training else 0
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=dropout, is_causal=True)
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            y = self.attn_dropout(F.softmax(att, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int, block_size: int, fused: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = NanoAttention(width, heads, block_size, fused)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Nano(nn.Module):
    """A small language model with tied embeddings that checks the length of what it reads."""

    def __init__(self, *, fused: bool, vocabulary: int = 7, width: int = 6, heads: int = 2, depth: int = 2) -> None:
        super().__init__()
        self.block_size = 5
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(self.block_size, width)
        self.drop, self.ln_f = nn.Dropout(0.1), nn.LayerNorm(width)
        self.h = nn.ModuleList(NanoBlock(width, heads, self.block_size, fused) for _ in range(depth))
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx: Tensor) -> Tensor:
        _, t = idx.size()
        assert t <= self.block_size, f"cannot forward sequence of length {t}"
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device)
        x = self.drop(self.wte(idx) + self.wpe(pos))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class ImageAttention(nn.Module):
    """Attention as of vision transformers: reshape to (3, batch, heads, length, part) and unbind."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads
        self.q_norm, self.token = nn.LayerNorm(width // heads), nn.Parameter(torch.zeros(1, 1, width))
        self.patch, self.head = nn.Conv2d(1, width, 2, stride=2), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(F.scaled_dot_product_attention(self.q_norm(q), k, v).transpose(1, 2).reshape(B, N, C))
        return self.head(x[:, 0])


class GroupedQuery(nn.Module):
    """Two heads of queries for every head of keys, RMS norms, a gated perceptron and rotated positions."""

    def __init__(self, kernel: str) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(5, 8), nn.RMSNorm(8)
        self.q, self.k, self.v = (nn.Linear(8, n, bias=False) for n in (8, 4, 4))
        self.o, self.gate, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(8, 6), nn.Linear(6, 8)
        self.out, self.kernel = nn.Linear(8, 5), kernel

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        B, T, C = x.shape
        h = self.norm(x)
        q = self.q(h).view(B, T, 4, 2).transpose(1, 2)
        k, v = (one(h).view(B, T, 2, 2).transpose(1, 2) for one in (self.k, self.v))
        if self.kernel == "expand":
            k, v = (one[:, :, None].expand(B, 2, 2, T, 2).reshape(B, 4, T, 2) for one in (k, v))
        elif self.kernel == "interleave":
            k, v = (one.repeat_interleave(2, dim=1) for one in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kernel == "gqa")
        x = x + self.o(y.transpose(1, 2).reshape(B, T, C))
        return self.out(x + self.down(F.silu(self.gate(x)) * self.up(x)))


class Rotary(nn.Module):
    """Attention whose dimensions of queries and keys are rotated in pairs, which tells them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Embedding(5, 8), nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        B, T = tokens.shape
        q, k, v = (one.view(B, T, 2, 4).transpose(1, 2) for one in self.qkv(self.embed(tokens)).chunk(3, -1))
        angle = torch.arange(T)[:, None] * torch.tensor([1.0, 0.1], dtype=q.dtype)
        cos, sin = (torch.cat([f(angle)] * 2, -1) for f in (torch.cos, torch.sin))
        turn = lambda x: x * cos + torch.cat([-x[..., 2:], x[..., :2]], -1) * sin  # noqa: E731
        y = F.scaled_dot_product_attention(turn(q), turn(k), v)
        return self.out(y.transpose(1, 2).flatten(2))


class Encoder(nn.Module):
    """torch's own layer."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(5, 8), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, **options)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(tokens)).mean(1))


class MultiHead(nn.Module):
    """torch's attention, across two sequences of other widths."""

    def __init__(self, *, weights: bool, kdim: int | None) -> None:
        super().__init__()
        self.embed, self.other = nn.Embedding(5, 8), nn.Embedding(5, kdim or 8)
        self.attend = nn.MultiheadAttention(8, 2, kdim=kdim, vdim=kdim, batch_first=True)
        self.out, self.weights = nn.Linear(8, 3), weights

    def forward(self, tokens: Tensor) -> Tensor:
        x, y = self.embed(tokens), self.other(tokens)
        return self.out(self.attend(x, y, y, need_weights=self.weights)[0])
