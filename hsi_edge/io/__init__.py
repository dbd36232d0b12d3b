"""Read and write spectral images; the format follows from the path's ending.

| ending | format | read | write | lazy |
|---|---|---|---|---|
| .hdr, .img, .raw, .dat, .bil, .bip, .bsq | ENVI | yes | yes | yes |
| .tif, .tiff | GeoTIFF | yes | yes | yes |
| .mat | MATLAB 5 and 7.3 | yes | no | 7.3 |
| .npy, .npz | NumPy | yes | .npy | .npy |
| .zarr | Zarr | yes | yes | yes |
| a folder | one PNG per band (the CAVE layout) | yes | no | no |
| .png, .jpg, .jpeg | image, 8 or 16 bit, as RGB | yes | no | no |
"""

from __future__ import annotations

from hsi_edge.io.formats import read, write

__all__ = ["read", "write"]
