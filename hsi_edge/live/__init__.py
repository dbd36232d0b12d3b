"""Live fusion: from two sensors to one checked stream of HR-HSI frames, recorded, watched and measured."""
