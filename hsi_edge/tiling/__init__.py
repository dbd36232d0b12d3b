"""How a frame is cut: geometry (integers in frozen values) and the choice of the tile's size."""
