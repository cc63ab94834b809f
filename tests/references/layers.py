"""Layers of inner models and their derivatives, for one vector or elementwise."""

from __future__ import annotations

import math

import numpy as np

from .ports import Array

ROOT = math.sqrt(2 / math.pi)


def layernorm(x: Array, eps: float) -> Array:
    """Without gain and bias; population variance, eps inside the root."""
    return (x - np.mean(x)) / math.sqrt(np.mean((x - np.mean(x)) ** 2) + eps)


def layernorm_backward(x: Array, g: Array, eps: float) -> Array:
    """The cotangent of `x` from that of its layer norm (Ba, Kiros, Hinton 2016): what is left of `g` without its mean
    and its part along the normalised `x`, over the standard deviation."""
    y = layernorm(x, eps)
    return (g - np.mean(g) - y * np.mean(g * y)) / math.sqrt(np.mean((x - np.mean(x)) ** 2) + eps)


def gelu(x: Array) -> Array:
    """x times the normal distribution function (Hendrycks, Gimpel 2016)."""
    return np.array([u * 0.5 * math.erfc(-u / math.sqrt(2)) for u in x])


def gelu_slope(x: Array) -> Array:
    """The distribution function plus x times the density."""
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return np.array([0.5 * math.erfc(-u / math.sqrt(2)) for u in x]) + x * density


def gelu_tanh(x: Array) -> Array:
    """Its approximation by a hyperbolic tangent."""
    return 0.5 * x * (1 + np.tanh(ROOT * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x: Array) -> Array:
    bent = np.tanh(ROOT * (x + 0.044715 * x**3))
    return 0.5 * (1 + bent) + 0.5 * x * (1 - bent**2) * ROOT * (1 + 3 * 0.044715 * x**2)
