"""The CUDA runtime: a frame is uploaded once, cut, normalised and stitched on the GPU, and captured as CUDA graphs."""
