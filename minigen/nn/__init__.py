"""Layers and networks: modules that own parameters and are made of ops."""

from minigen.nn import init
from minigen.nn.attention import MultiHeadAttention
from minigen.nn.blocks import AdaLN, ResBlock
from minigen.nn.caption import CaptionEncoder
from minigen.nn.conv import Conv2d, ConvTranspose2d
from minigen.nn.dropout import Dropout
from minigen.nn.embedding import Embedding, timestep_embedding
from minigen.nn.labelled_unet import LabelledUNet
from minigen.nn.linear import MLP, Linear
from minigen.nn.modulation import AdaLNZero, TimeEmbedding
from minigen.nn.module import Buffer, Module, ModuleList, Parameter, Sequential
from minigen.nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm, RMSNorm
from minigen.nn.patch import PatchDiscriminator, ResizeConv2d
from minigen.nn.patches import Patches, Unpatch
from minigen.nn.penalty import r1_penalty, squared_slopes
from minigen.nn.spectral_norm import SpectralNorm
from minigen.nn.text import TextTransformer
from minigen.nn.transformer import FeedForward, TransformerBlock
from minigen.nn.unet import UNet, UNetConfig

__all__ = [
    "MLP",
    "AdaLN",
    "AdaLNZero",
    "BatchNorm2d",
    "Buffer",
    "CaptionEncoder",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "FeedForward",
    "GroupNorm",
    "InstanceNorm2d",
    "LabelledUNet",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Parameter",
    "PatchDiscriminator",
    "Patches",
    "RMSNorm",
    "ResBlock",
    "ResizeConv2d",
    "Sequential",
    "SpectralNorm",
    "TextTransformer",
    "TimeEmbedding",
    "TransformerBlock",
    "UNet",
    "UNetConfig",
    "Unpatch",
    "init",
    "r1_penalty",
    "squared_slopes",
    "timestep_embedding",
]
