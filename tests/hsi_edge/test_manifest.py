from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hsi_edge.errors import InputError, ManifestError
from hsi_edge.manifest import (
    MAX_MANIFEST_BYTES,
    SUBSPACE_IMAGES,
    Bands,
    Cost,
    File,
    Graph,
    Input,
    Manifest,
    Msi,
    Parity,
    Precision,
    Statistics,
    Tiling,
    Training,
    dump_manifest,
    parse_manifest,
)
from hsi_edge.sensor_check import check_sensor
from tests.tiny_bundles import subspace_manifest

SHA = "0123456789abcdef" * 4


def plain_manifest() -> dict:
    """A manifest of a fusion network with statistics, as YAML reads it."""
    return {
        "schema": 1,
        "name": "toy-x8",
        "network": "pzres",
        "task": "fusion",
        "ratio": 8,
        "bands": {"wavelengths_nm": [450.0, 550.0, 650.0], "fwhm_nm": [10.0, 10.0, 10.0], "tolerance_nm": 5.0},
        "msi": {"bands": 2, "names": ["green", "red"], "srf": [[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]]},
        "input": {"quantities": ["dn", "reflectance"], "lr_scaling": "frame_peak", "msi_scaling": "unit"},
        "base": "regression",
        "psf_fwhm_px": 8.0,
        "tiling": {"halo_lr": 4, "alignment_lr": 1, "min_lr": 2, "max_tile_lr": 0},
        "statistics": {"modes": ["whole", "exact", "reduced"], "default": "reduced", "size": 12},
        "graphs": {"fp32": {"whole": "fp32.onnx", "given": "fp32-given.onnx"}},
        "precision": {"bf16": True, "bf16_psnr_loss_db": 0.003},
        "golden": "golden.npz",
        "training": {"data": "a scene", "data_licence": "research", "recipe": "toy.yaml"},
        "accuracy": [{"scene": "samson", "pair": "clean", "psnr_db": 47.5, "ratio": 8}],
        "parity": {"max_abs": 1e-6, "per_band_max_abs": [1e-6, 2e-7, 0.0], "torch": "2", "onnxruntime": "1"},
        "files": {name: {"sha256": SHA, "size_bytes": 7} for name in ("fp32.onnx", "fp32-given.onnx", "golden.npz")},
    }


def parse(plain: object) -> Manifest:
    return parse_manifest(yaml.safe_dump(plain).encode(), "toy/manifest.yaml")


def changed(path: str, value: object) -> dict:
    """The plain manifest with one value set, or taken out where `value` is ..."""
    plain = plain_manifest()
    *parents, key = path.split("/")
    place = plain
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return plain


def test_each_value_is_read_to_its_field():
    manifest = parse(plain_manifest())
    assert manifest.bands == Bands(wavelengths_nm=(450.0, 550.0, 650.0), fwhm_nm=(10.0, 10.0, 10.0))
    assert manifest.msi.srf == ((0.25, 0.75, 0.0), (0.0, 0.5, 0.5))
    assert manifest.statistics == Statistics(modes=("whole", "exact", "reduced"), default="reduced", size=12)
    assert manifest.graphs == {"fp32": Graph(whole="fp32.onnx", given="fp32-given.onnx")}
    assert manifest.accuracy == ({"scene": "samson", "pair": "clean", "psnr_db": 47.5, "ratio": 8},)
    assert manifest.n_bands == 3
    assert manifest.published == ()


def test_a_whole_number_will_do_for_a_float():
    assert type(parse(changed("psf_fwhm_px", 8)).psf_fwhm_px) is float


def test_dump_keeps_the_order_of_the_fields_and_lists_of_numbers_in_lines():
    lines = dump_manifest(parse(plain_manifest())).decode().splitlines()
    tops = [line.split(":")[0] for line in lines if line[0] not in " -"]
    assert tops[:6] == ["schema", "name", "network", "task", "ratio", "bands"]
    assert tops[-1] == "files"
    assert "  wavelengths_nm: [450.0, 550.0, 650.0]" in lines


def test_numpy_scalars_are_dumped_as_plain_numbers():
    scores = {"psnr_db": np.float32(41.5), "sam_deg": np.float64(1.25), "pixels": np.int64(3)}
    manifest = parse(plain_manifest())
    object.__setattr__(manifest, "accuracy", (scores,))
    assert parse_manifest(dump_manifest(manifest)).accuracy == ({"psnr_db": 41.5, "sam_deg": 1.25, "pixels": 3},)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "tiling/halo",
            4,
            r"toy/manifest.yaml: unknown key tiling.halo \(did you mean halo_lr\?\); known: halo_lr, radius_px, al",
        ),
        ("licence", "x", "unknown key licence; known: schema, name"),
        ("schema", 2, "schema 2 is newer than the newest that this version of hsi_edge knows, 1; upgrade with: pip"),
        ("schema", 0, "schema is 0; wanted 1"),
        ("schema", "1", "schema is '1'; wanted a whole number"),
        ("schema", ..., "there is no key schema, so this is no manifest"),
        ("ratio", ..., "ratio is missing; wanted a whole number"),
        ("ratio", 8.0, r"ratio is 8\.0; wanted a whole number"),
        ("ratio", True, "ratio is True; wanted a whole number"),
        ("ratio", 65, "ratio is 65; wanted 1 to 64"),
        ("name", 12, "name is 12; wanted text, in quotes"),
        ("name", "../x", "name is '../x'; wanted up to 100 letters"),
        ("network", " ", "network is ' '; wanted a word"),
        ("task", "fuse", "task is 'fuse'; wanted one of fusion, single"),
        ("bands", [1], r"bands is \[1\]; wanted a mapping"),
        ("bands/wavelengths_nm", 450, "bands.wavelengths_nm is 450; wanted a list"),
        ("bands/wavelengths_nm", [450, "x", 650], r"bands.wavelengths_nm\[1\] is 'x'; wanted a finite number; YAML"),
        ("bands/wavelengths_nm", [450, float("nan"), 650], r"wavelengths_nm\[1\] is nan; wanted a finite number"),
        ("bands/wavelengths_nm", [450, float("inf"), 650], r"wavelengths_nm\[1\] is inf; wanted a finite number"),
        ("bands/wavelengths_nm", [450, 10**400, 650], r"wavelengths_nm\[1\] is 1000.*; wanted a finite number"),
        ("bands/wavelengths_nm", [650, 550, 450], r"wavelengths_nm\[1\] is 550.0; wanted more than 650"),
        ("bands/wavelengths_nm", [-1, 550, 650], r"wavelengths_nm\[0\] is -1.0; wanted more than 0"),
        ("bands/wavelengths_nm", [], "the length of bands.fwhm_nm is 3; wanted 0"),
        ("bands/fwhm_nm", [10.0], "the length of bands.fwhm_nm is 1; wanted 0 or 3"),
        ("bands/fwhm_nm", [10.0, 0.0, 10.0], "wanted positive widths"),
        ("bands/tolerance_nm", 0, "bands.tolerance_nm is 0.0; wanted a positive number"),
        ("msi/bands", -1, "msi.bands is -1; wanted 0 or more"),
        ("msi/names", ["red"], r"the length of msi.names is 1; wanted 0 or msi.bands \(2\)"),
        ("msi/srf", [[1.0, 0.0, 0.0]], "the length of msi.srf is 1"),
        ("msi/srf", [[0.5, 0.5], [0.5, 0.5]], r"the length of msi.srf\[0\] is 2; wanted that of bands.wavel.* 3"),
        ("msi/srf", [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], r"the sum of msi.srf\[1\] is 2.0; wanted 1"),
        ("msi", {"bands": 0}, "msi.bands is 0; wanted 1 or more, as task is fusion"),
        ("input/quantities", ["counts"], r"input.quantities\[0\] is 'counts'; wanted one of dn, radiance, reflectance"),
        ("input/quantities", [], "wanted at least one quantity"),
        ("input/quantities", ["dn", "dn"], "wanted at least one quantity, each once"),
        ("input/lr_scaling", None, r"input.lr_scaling is empty \(null\); wanted one of unit, frame_peak"),
        ("input/images", [], "input.images is .*; wanted at least one image, each once"),
        ("input/images", ["base", "base", "hr_msi"], "input.images is .*; wanted at least one image, each once"),
        ("input/images", ["base", "rgb"], r"input.images\[1\] is 'rgb'; wanted one of lr_hsi, base, hr_msi"),
        ("input/images", ["lr_hsi", "hr_msi"], r"input.images is .*; wanted base among them, as base is regression"),
        ("input/images", ["base"], r"input.images is \('base',\); wanted hr_msi among them, as task is fusion"),
        ("base", "none", r"input.images is \('base', 'hr_msi'\); wanted no base, as base is none"),
        ("base", "nearest", "base is 'nearest'; wanted one of bilinear, bicubic, regression, subspace, none"),
        ("cost", {"parameters": 0, "macs_per_px": 1.0}, "cost.parameters is 0; wanted 1 or more"),
        ("cost", {"parameters": 9, "macs_per_px": 0.0}, "cost.macs_per_px is 0.0; wanted a positive number"),
        ("psf_fwhm_px", 0, "psf_fwhm_px is 0.0; wanted a positive number"),
        ("psf_fwhm_px", "1e1", r"psf_fwhm_px is '1e1'; wanted a finite number; YAML takes .* \(write 1.0e\+6\)"),
        ("tiling/halo_lr", -1, "tiling.halo_lr is -1; wanted 0 or more"),
        ("tiling/alignment_lr", 0, "tiling.alignment_lr is 0; wanted 1 or more"),
        ("tiling/min_lr", 0, "tiling.min_lr is 0; wanted 1 or more"),
        ("tiling/max_tile_lr", 8, r"tiling.max_tile_lr is 8; wanted 0 \(no limit\), or 9 or more"),
        ("statistics/default", "previous", "statistics.default is 'previous'; wanted one of whole, exact, reduced"),
        ("statistics/modes", [], "wanted at least one mode, each once"),
        ("statistics/size", 0, "statistics.size is 0; wanted 1 or more"),
        ("statistics", None, "graphs.fp32.given is 'fp32-given.onnx'; wanted null, as no mode"),
        ("graphs/fp32/given", None, "graphs.fp32.given is None; wanted a file, as statistics.modes asks"),
        ("graphs", {}, "wanted an entry fp32"),
        ("graphs/fp8", {"whole": "fp8.onnx"}, "a key of graphs is 'fp8'; wanted one of fp32, fp16, int8"),
        ("graphs/fp32/whole", "other.onnx", "graphs.fp32.whole is 'other.onnx'; wanted one of files: "),
        ("network", "regression", r"graphs is \['fp32'\]; wanted empty, as network is regression"),
        ("precision", {"bf16": True}, "precision.bf16_psnr_loss_db is None; wanted the measured loss"),
        ("golden", None, "golden is None; wanted the name of an .npz"),
        ("golden", "g.npz", "golden is 'g.npz'; wanted one of files"),
        ("training/commit", 1234567, "training.commit is 1234567; wanted text, in quotes"),
        ("accuracy", [{"psnr_db": [1]}], r"accuracy\[0\].psnr_db is \[1\]; wanted text or a whole number or a finite"),
        ("accuracy", [{"psnr_db": float("nan")}], r"accuracy\[0\].psnr_db is nan; wanted a finite number"),
        ("parity/per_band_max_abs", [0.0], "the length of parity.per_band_max_abs is 1; wanted 3"),
        ("files/fp32.onnx/sha256", "ABC", "files.fp32.onnx.sha256 is 'ABC'; wanted 64 lower-case"),
        ("files/fp32.onnx/size_bytes", -1, "files.fp32.onnx.size_bytes is -1; wanted 0 or more"),
        ("files/fp32.onnx/size_bytes", 1 << 40, "the sum of the sizes in files is 1099511627790; wanted at most"),
        (f"files/{'x' * 9}", None, r"files.xxxxxxxxx is empty \(null\); wanted a mapping"),
    ],
)
def test_a_wrong_value_is_refused_by_its_path(path, value, message):
    with pytest.raises(ManifestError, match=message):
        parse(changed(path, value))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../../x", "a\\..\\x", "C:x", "C:/x", "", "a//b", "./a", "a/", "a\x00b"]
)
def test_a_file_name_that_leaves_the_folder_is_refused(name):
    plain = plain_manifest()
    plain["files"][name] = {"sha256": SHA, "size_bytes": 1}
    with pytest.raises(ManifestError, match=r"leaves the bundle's folder"):
        parse(plain)


@pytest.mark.parametrize("name", ["manifest.yaml", "signature", "engines/a.plan", "report/a.html"])
def test_a_file_that_tools_rewrite_cannot_be_listed(name):
    plain = plain_manifest()
    plain["files"][name] = {"sha256": SHA, "size_bytes": 1}
    with pytest.raises(ManifestError, match=r"wanted a file that no tool rewrites"):
        parse(plain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "there is no key schema"),
        (b"[]", "there is no key schema"),
        (b"just words", "there is no key schema"),
        (b"schema: 1\nbands: {wavelengths_nm: [400.0, 41", "not readable YAML, or was cut short: .*line 2"),
        (b"schema: 1\nname: 'toy", "not readable YAML, or was cut short"),
        (b"\xff\xfe\x00", "not readable YAML"),
        (b"schema: 1\nname: a\nname: b\n", "a key stands twice or is no text, at line 3"),
        (b"schema: 1\n? [a]\n: b\n", "a key stands twice or is no text, at line 2"),
        (b"schema: 1\n3: b\n", "3 is a key of type int; wanted text, in quotes"),
        (b"a: &a [1, 1]\nb: [*a, *a]\nschema: 1\n", "uses a YAML alias, at line 2"),
        (b"schema: 1\nname: !!python/object:os.system {}\n", "not readable YAML"),
        (b"schema: 1\nname: 2024-13-45\n", "not readable YAML"),
        (b"schema:\n" + b" [\n" * 100_000, "it is nested more than 20 deep, at line 21"),
        (b"#" * (MAX_MANIFEST_BYTES + 1), "it has 1048577 bytes; wanted at most 1048576"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused(text, message):
    with pytest.raises(ManifestError, match=message):
        parse_manifest(text)


def test_each_cut_of_a_manifest_is_refused_or_reads_as_missing_something():
    data = dump_manifest(parse(plain_manifest()))
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(ManifestError):
            parse_manifest(data[:length])


def test_a_single_image_model_has_no_msi_and_no_regression_base():
    plain = changed("task", "single")
    with pytest.raises(ManifestError, match=r"msi.bands is 2; wanted 0, as task is single"):
        parse(plain)
    plain["msi"] = {"bands": 0}
    with pytest.raises(ManifestError, match=r"base is 'regression'; wanted bilinear, bicubic or none, as task is"):
        parse(plain)
    plain["base"] = "bicubic"
    with pytest.raises(
        ManifestError, match=r"input.images is \('base', 'hr_msi'\); wanted no hr_msi, as task is single"
    ):
        parse(plain)
    plain["input"]["images"] = ["lr_hsi", "base"]
    assert parse(plain).msi == Msi(bands=0)


def test_a_manifest_that_does_not_name_its_images_takes_a_base_and_an_msi():
    manifest = parse(plain_manifest())
    assert manifest.input.images == ("base", "hr_msi")
    assert manifest.cost is None


def test_a_model_with_a_graph_has_fixed_bands():
    plain = plain_manifest()
    plain["bands"] = {}
    plain["msi"] = {"bands": 2}
    with pytest.raises(ManifestError, match=r"bands.wavelengths_nm is \(\); wanted the band centres"):
        parse(plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": Bands(wavelengths_nm=(400.0, 500.0))}, "bands.wavelengths_nm is .*; wanted none"),
        ({"msi": Msi(bands=4)}, "msi.bands is 4; wanted 3"),
        ({"task": "single", "msi": Msi(bands=0)}, "task is 'single'; wanted fusion"),
        ({"tiling": Tiling(halo_lr=1)}, "tiling.halo_lr is 1; wanted 2 or more"),
        ({"tiling": Tiling(halo_lr=2, alignment_lr=2)}, "tiling.alignment_lr is 2; wanted 1"),
        ({"input": Input(quantities=("dn",), lr_scaling="unit", images=SUBSPACE_IMAGES)}, "wanted frame_peak"),
        ({"input": Input(quantities=("dn",), lr_scaling="frame_peak")}, "wanted guide, features, condition"),
        ({"base": "bicubic", "bands": Bands(wavelengths_nm=(400.0,))}, "wanted none of guide, features, condition"),
    ],
)
def test_a_model_on_components_that_the_runtime_could_not_serve_is_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        subspace_manifest(**changes)


def regression() -> Manifest:
    return Manifest(
        name="regression-x8",
        network="regression",
        task="fusion",
        ratio=8,
        bands=Bands(),
        msi=Msi(bands=0),
        input=Input(quantities=("dn", "radiance", "reflectance"), lr_scaling="unit"),
        base="regression",
        psf_fwhm_px=8.0,
        tiling=Tiling(halo_lr=2),
    )


def test_the_regression_needs_no_graph_no_bands_and_no_files():
    manifest = regression()
    assert manifest.n_bands == 0
    assert parse_manifest(dump_manifest(manifest)) == manifest


numbers = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(1e-6, 1e6)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
file_names = st.from_regex(r"[a-z0-9_]{1,8}\.onnx", fullmatch=True)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    centres = sorted(draw(st.sets(positive, min_size=1, max_size=6)))
    n_bands = len(centres)
    modes = draw(st.lists(st.sampled_from(["whole", "exact", "reduced", "previous"]), min_size=1, unique=True))
    given_file = None if modes == ["whole"] else draw(file_names)
    whole = draw(file_names)
    rows = st.dictionaries(text, st.one_of(text, numbers, st.integers()), max_size=4)
    named = {name for name in (whole, given_file, "golden.npz") if name}
    return Manifest(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
        network="net",
        task="fusion",
        ratio=draw(st.integers(1, 64)),
        bands=Bands(
            wavelengths_nm=tuple(centres),
            fwhm_nm=tuple(draw(st.sampled_from([[], centres]))),
            tolerance_nm=draw(positive),
        ),
        msi=Msi(bands=1, names=(draw(text),), srf=draw(st.sampled_from([(), ((1.0,) + (0.0,) * (n_bands - 1),)]))),
        input=Input(
            quantities=draw(st.sampled_from([("dn",), ("radiance", "reflectance")])),
            lr_scaling=draw(st.sampled_from(["unit", "frame_peak"])),
            images=tuple(draw(st.permutations(["lr_hsi", "base", "hr_msi"]))),
        ),
        base=draw(st.sampled_from(["bilinear", "bicubic", "regression"])),
        psf_fwhm_px=draw(positive),
        tiling=Tiling(halo_lr=draw(st.integers(0, 99)), max_tile_lr=draw(st.sampled_from([0, 1000]))),
        statistics=Statistics(
            modes=tuple(modes), default=draw(st.sampled_from(modes)), size=draw(st.integers(1, 9999))
        ),
        graphs={"fp32": Graph(whole=whole, given=given_file)},
        precision=Precision(bf16=draw(st.booleans()), bf16_psnr_loss_db=draw(numbers)),
        golden="golden.npz",
        training=draw(st.none() | st.builds(Training, data=text, data_licence=text, recipe=text, commit=text)),
        accuracy=tuple(draw(st.lists(rows, max_size=3))),
        published=tuple(draw(st.lists(rows, max_size=2))),
        parity=draw(
            st.none()
            | st.builds(
                Parity,
                max_abs=numbers,
                per_band_max_abs=st.tuples(*[numbers] * n_bands),
                torch=text,
                onnxruntime=text,
            )
        ),
        cost=draw(st.none() | st.builds(Cost, parameters=st.integers(1, 10**9), macs_per_px=positive)),
        files={name: File(sha256=SHA, size_bytes=draw(st.integers(0, 10**6))) for name in sorted(named)},
    )


@given(manifests())
def test_each_manifest_survives_the_way_to_yaml_and_back(manifest):
    assert parse_manifest(dump_manifest(manifest)) == manifest


@pytest.fixture
def model() -> Manifest:
    return parse(plain_manifest())


def test_a_sensor_within_the_tolerance_passes(model):
    check_sensor(model, n_bands=3, wavelengths_nm=np.array([445.5, 552.0, 655.0]), quantity="dn")
    check_sensor(model, n_bands=3, wavelengths_nm=None, quantity=None)


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        (
            [440.0, 500.0, 600.0, 700.0],
            r"lr_hsi has 4 bands; the model toy-x8 takes 3: pass resample=True / --resample "
            r"to resample the 4 bands to the model's 3 bands \(450 to 650 nm\)",
        ),
        (
            [450.0, 556.0, 650.0],
            "band 1 of lr_hsi is centred at 556 nm, the model's at 550 nm, more than 5 nm apart: pass r",
        ),
        ([0.45, 0.55, 0.65], r"run from 0.45 to 0.65, which looks like micrometres; .*: multiply by 1000"),
        ([650.0, 550.0, 450.0], "not ascending: band 0 is at 650 nm, band 1 at 550 nm. Pass resample=True"),
        ([450.0, 450.0, 650.0], "not ascending: band 0 is at 450 nm, band 1 at 450 nm"),
        ([450.0, np.nan, 650.0], "the wavelength of band 1 of lr_hsi is not a number"),
        ([450.0, 550.0, 600.0], "covers 450 to 600 nm; .* which no resampling can make of it"),
        ([700.0], "covers 700 to 700 nm"),
    ],
)
def test_wrong_wavelengths_are_refused_with_the_way_out(model, centres, message):
    with pytest.raises(InputError, match=message):
        check_sensor(model, n_bands=len(centres), wavelengths_nm=np.array(centres), quantity="dn")


def test_without_wavelengths_only_the_count_is_checked(model):
    with pytest.raises(
        InputError, match=r"frame has 224 bands; .* takes 3 bands \(450 to 650 nm\). Without wavelengths"
    ):
        check_sensor(model, n_bands=224, wavelengths_nm=None, quantity=None, what="frame")


def test_another_quantity_is_refused(model):
    with pytest.raises(InputError, match=r"lr_hsi holds radiance; the model toy-x8 takes dn, reflectance. Convert it"):
        check_sensor(model, n_bands=3, wavelengths_nm=None, quantity="radiance")


def test_a_model_for_any_bands_takes_any_sensor_of_its_quantities():
    check_sensor(regression(), n_bands=224, wavelengths_nm=np.linspace(2500, 400, 224), quantity="radiance")


def narrower(**changes: object) -> dict:
    """A manifest with an INT8 graph."""
    plain = plain_manifest()
    plain["graphs"]["int8"] = {"whole": "int8.onnx", "given": "int8-given.onnx"}
    for name in ("int8.onnx", "int8-given.onnx"):
        plain["files"][name] = {"sha256": SHA, "size_bytes": 1}
    entry = {"method": "entropy", "tiles": 8, "tiles_sha256": SHA, "held_out": 4, "psnr_db": 48.5}
    plain["calibration"] = {"int8": {**entry, "psnr_loss_db": 0.1, "worst_band_rmse": 0.004, **changes}}
    return plain


def test_a_narrower_graph_says_how_it_was_made_and_what_it_loses():
    manifest = parse(narrower(float_layers=["tail"]))
    assert manifest.calibration["int8"].float_layers == ("tail",)
    assert manifest.calibration["int8"].sam_change_percent is None
    assert parse_manifest(dump_manifest(manifest)) == manifest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "guess"}, "calibration.int8.method is 'guess'; wanted"),
        ({"tiles": 0}, "calibration.tiles is 0; wanted 1 or more"),
        ({"tiles_sha256": "abc"}, "calibration.tiles_sha256 is 'abc'; wanted 64 lower-case hexadecimal digits"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(ManifestError, match=message):
        parse(narrower(**changes))


def test_a_narrower_graph_without_its_calibration_is_refused():
    plain = narrower()
    plain["calibration"] = {}
    with pytest.raises(ManifestError, match=r"calibration is \[\]; wanted an entry for each graph beside fp32"):
        parse(plain)
