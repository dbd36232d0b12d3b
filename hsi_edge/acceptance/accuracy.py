"""How far the engine under check is from FP32, and from the truth where it is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hsi_edge import quality
from hsi_edge.acceptance.scene import Scene
from hsi_edge.cube import Cube
from hsi_edge.engine import HSIEngine

Float = NDArray[np.float32]
_PEAK_PERCENTILE = 99.9


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One output against a reference; the metrics are those of `hsi_edge.quality`.

    Attributes:
        psnr_db: Against the truth the mean over the bands' PSNR, against FP32 that of the whole cube, as a band that
            is met exactly must not hide the others. Infinite where nothing differs.
        sam_deg, sam_p95_deg: Mean spectral angle, and what 95 percent of the pixels do not pass.
        ssim: Structural similarity, Gaussian window.
        ergas: Relative global error.
        worst_band: Index of the band with the largest RMSE.
        worst_band_rmse: Its RMSE, in the scene's unit.
        rmse_per_band: Of all bands.
    """

    psnr_db: float
    sam_deg: float
    sam_p95_deg: float
    ssim: float
    ergas: float
    worst_band: int
    worst_band_rmse: float
    rmse_per_band: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class SceneAccuracy:
    """One scene's.

    Attributes:
        scene: Its name.
        hr_shape: Of the output.
        peak: What PSNR and SSIM take for the range of the data.
        wavelengths_nm: Of the bands that are scored, those that are not dead; empty where they are not known.
        lost_px: Pixels that FP32 computed and the engine gave as NaN or infinite.
        warnings: What the engine said of its run.
        reference: What FP32 output it is compared with, in words.
        to_fp32: The engine against that; None where every pixel was lost.
        to_truth, fp32_to_truth: The engine, and FP32, against the truth; None where it is not known.
    """

    scene: str
    hr_shape: tuple[int, int, int]
    peak: float
    wavelengths_nm: tuple[float, ...]
    lost_px: int
    warnings: tuple[str, ...]
    reference: str
    to_fp32: Scores | None
    to_truth: Scores | None
    fp32_to_truth: Scores | None

    @property
    def psnr_loss_db(self) -> float | None:
        """PSNR against the truth that the engine loses to FP32."""
        if self.to_truth is None or self.fp32_to_truth is None:
            return None
        # Two exact outputs lose nothing to each other.
        same = self.fp32_to_truth.psnr_db == self.to_truth.psnr_db
        return 0.0 if same else self.fp32_to_truth.psnr_db - self.to_truth.psnr_db

    @property
    def sam_change_percent(self) -> float | None:
        """Change of the mean spectral angle against the truth, in percent of FP32's."""
        if self.to_truth is None or self.fp32_to_truth is None or self.fp32_to_truth.sam_deg == 0:
            return None
        return 100 * (self.to_truth.sam_deg / self.fp32_to_truth.sam_deg - 1)


def score(engine: HSIEngine, fp32: HSIEngine, scene: Scene) -> SceneAccuracy:
    """Run one scene on the engine under check and on FP32, and compare.

    Raises:
        InputError: The scene does not fit the model, or is too small to be scored.
    """
    ratio = engine.manifest.ratio
    output = _output(engine, scene)
    reference = _output(fp32, scene)
    peak = _peak(scene, reference)
    rows, cols, bands = output.shape
    # Dead bands of the sensor hold no pixel in any output.
    alive = np.isfinite(reference).any(axis=(0, 1))
    output, reference = output[:, :, alive], reference[:, :, alive]
    lost = np.isfinite(reference).all(axis=2) & ~np.isfinite(output).all(axis=2)
    output = np.where(np.isfinite(output), output, np.float32(np.nan))
    any_left = bool(np.isfinite(output).all(axis=2).any())
    truth = scene.truth[:, :, alive] if scene.truth is not None and any_left else None
    wavelengths = scene.lr_hsi.wavelengths_nm if isinstance(scene.lr_hsi, Cube) else None
    return SceneAccuracy(
        scene=scene.name,
        hr_shape=(rows, cols, bands),
        peak=peak,
        wavelengths_nm=() if wavelengths is None else tuple(wavelengths[alive].tolist()),
        lost_px=int(lost.sum()),
        warnings=engine.report.warnings,
        reference=_in_words(fp32),
        to_fp32=_scores(output, reference, ratio, peak, whole_cube=True) if any_left else None,
        to_truth=None if truth is None else _scores(output, truth, ratio, peak),
        fp32_to_truth=None if truth is None else _scores(reference, truth, ratio, peak),
    )


def _in_words(fp32: HSIEngine) -> str:
    proved = ", which reproduced the bundle's golden pair" if fp32.manifest.golden is not None else ""
    return f"FP32 on this device ({fp32.report.backend}){proved}"


def _output(engine: HSIEngine, scene: Scene) -> Float:
    result = engine.run(scene.lr_hsi, scene.hr_msi)
    return np.asarray(result.data if isinstance(result, Cube) else result, np.float32)


def _scores(output: Float, wanted: Float, ratio: int, peak: float, *, whole_cube: bool = False) -> Scores:
    per_band = peak * 10 ** (-quality.psnr_per_band_db(output, wanted, peak=peak) / 20)
    psnr = quality.psnr_cube_db if whole_cube else quality.psnr_db
    return Scores(
        psnr_db=psnr(output, wanted, peak=peak),
        sam_deg=quality.sam_deg(output, wanted),
        sam_p95_deg=quality.sam_p95_deg(output, wanted),
        ssim=quality.ssim_gaussian(output, wanted, peak=peak),
        ergas=quality.ergas(output, wanted, ratio=ratio),
        worst_band=int(np.argmax(per_band)),
        worst_band_rmse=float(per_band.max()),
        rmse_per_band=tuple(per_band.tolist()),
    )


def _peak(scene: Scene, reference: Float) -> float:
    """1 for reflectance, as published scores have it; else the nearly largest value of the scene's FP32 output."""
    if isinstance(scene.lr_hsi, Cube) and scene.lr_hsi.quantity == "reflectance":
        return 1.0
    return float(np.nanpercentile(reference, _PEAK_PERCENTILE)) or 1.0
