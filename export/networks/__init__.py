"""One file per network, each a plain `nn.Module` that knows nothing of training or export."""
