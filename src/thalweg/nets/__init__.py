"""Small reference networks: plain modules that torch.func can differentiate, stack and map over."""

from thalweg.nets.centered import Centered, centered
from thalweg.nets.convnet import convnet, convnet1d, signal_convnet
from thalweg.nets.mlp import mlp
from thalweg.nets.modular_mlp import ModularMLP, modular_mlp
from thalweg.nets.modular_transformer import ModularTransformer, modular_transformer
from thalweg.nets.ntk_mlp import ScaledLinear, ntk_mlp
from thalweg.nets.resnet import ResNet, resnet
from thalweg.nets.transformer import Transformer, transformer
from thalweg.nets.with_squared_norm import WithSquaredNorm

__all__ = [
    "Centered",
    "ModularMLP",
    "ModularTransformer",
    "ResNet",
    "ScaledLinear",
    "Transformer",
    "WithSquaredNorm",
    "centered",
    "convnet",
    "convnet1d",
    "mlp",
    "modular_mlp",
    "modular_transformer",
    "ntk_mlp",
    "resnet",
    "signal_convnet",
    "transformer",
]
