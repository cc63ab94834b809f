"""The PyTorch runtime whose source is inlined in every emitted module."""
