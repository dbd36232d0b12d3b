"""Writers of tiny files in the layouts of the published data sets."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import rasterio
import scipy.io

from export.data.published import find_protocol
from export.data.published.catalogue import DATASETS
from export.data.published.cutting import scenes_of

MATLAB_CLASSES = {"uint16": b"uint16", "int16": b"int16", "float64": b"double", "float32": b"single"}


def ramp(rows: int, cols: int, bands: int, dtype: str = "uint16", start: int = 1) -> np.ndarray:
    """Numbers that differ at each place, so that a turned axis or a swapped band shows."""
    return np.arange(start, start + rows * cols * bands).reshape(rows, cols, bands).astype(dtype)


def write_mat(path: Path, **variables: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables, do_compression=True)
    return path


def write_mat73(path: Path, **variables: np.ndarray) -> Path:
    """MATLAB's `save -v7.3`: 512 bytes of header, then HDF5 with the axes of each array in reverse, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            item = file.create_dataset(name, data=np.atleast_2d(values).T, chunks=True, compression="gzip")
            item.attrs["MATLAB_class"] = np.bytes_(MATLAB_CLASSES[values.dtype.name])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(124) + struct.pack("<H2s", 0x0200, b"IM"))
    return path


def write_png_bands(folder: Path, prefix: str, cube: np.ndarray) -> Path:
    """`<prefix>_01.png` and so on, grey for `(rows, cols, bands)`, RGBA for `(rows, cols, bands, 4)`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(cube.shape[2]):
        cv2.imwrite(str(folder / f"{prefix}_{index + 1:02}.png"), cube[:, :, index])
    return folder


def write_raster(
    path: Path, cube: np.ndarray, *, driver: str = "GTiff", origin=(500.0, 900.0), pixel: float = 1.0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, cols, bands = cube.shape
    # North up, as delivered: rows go south.
    transform = rasterio.Affine(pixel, 0, origin[0], 0, -pixel, origin[1])
    shape = {"height": rows, "width": cols, "count": bands, "dtype": cube.dtype.name}
    with rasterio.open(path, "w", driver=driver, transform=transform, crs="EPSG:26915", **shape) as file:
        file.write(cube.transpose(2, 0, 1))
    return path


def miniature_scenes(folder: Path, dataset: str, paper: str, split: str, **changes: object) -> list:
    """Like `published_scenes`, with a protocol whose crop or tiles fit tiny images."""
    protocol = replace(find_protocol(dataset, paper), **changes)
    return list(scenes_of(folder, DATASETS[dataset], protocol, split))
