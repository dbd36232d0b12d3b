"""The bench: networks in PyTorch, their data and training, and their way into a model bundle."""
