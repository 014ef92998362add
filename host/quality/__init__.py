"""How good a trained denoiser is, and what it generates, against what can be expected of the data."""

from .evaluate import evaluate

__all__ = ["evaluate"]
