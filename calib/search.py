"""Looking for a graph that passes its gate: the best calibrator first, then the most sensitive layers put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from calib.calibrators import entropy, minmax, percentile
from calib.candidates import Candidates, FP16Candidates, INT8Candidates, Method, graphs_of, present, tile_form
from calib.fp16 import fp16_graph
from calib.gate import Gate, Narrow, failures
from calib.half_arithmetic import layers_beyond_half
from calib.int8 import quantizable_layers, quantized_tensors
from calib.judge import Judge, Scores, TruthScores
from calib.ranges import collect
from calib.runner import Graphs, Runner, has_bf16, openvino_bf16
from calib.sensitivity import Say, Sensitivity, rank, spread_tiles
from calib.tiles import Chosen
from hsi_edge.errors import CalibrationError, InputError
from hsi_edge.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A candidate that was judged: what it is in words, and its scores."""

    what: str
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A graph that passes its gate.

    Attributes:
        precision: Of the graph.
        method: How it was made.
        graphs: By form.
        scores: On the held-out frames.
        put_back: Layers that the gate put back, the most sensitive first.
        overflowing: Layers that are FP32 since their numbers do not fit into FP16.
        wider: All that is computed wider than the precision.
        ranking: Of all layers, where the gate failed at first; else empty.
        tried: Every candidate that was judged.
        with_bf16: Of the INT8 graph with BF16 for the rest, as OpenVINO flies it; None where the CPU has no BF16. It is
            not gated: BF16 has a gate of its own.
        fp32: FP32 against the truth; None where no truth is known.
        gate: That it passes.
        chosen: The tiles.
    """

    precision: Narrow
    method: Method
    graphs: Graphs
    scores: Scores
    put_back: tuple[str, ...]
    overflowing: tuple[str, ...]
    wider: tuple[str, ...]
    ranking: tuple[Sensitivity, ...]
    tried: tuple[Tried, ...]
    with_bf16: Scores | None
    fp32: TruthScores | None
    gate: Gate
    chosen: Chosen


class Search:
    """Makes and judges graphs of one precision.

    Args:
        manifest: The model's.
        precision: Of the graphs to make.
        fp32: The FP32 graphs.
        chosen: What they are calibrated with.
        judge: Of the held-out frames.
        gate: To pass.
        say: Takes lines of progress.
    """

    def __init__(
        self,
        manifest: Manifest,
        precision: Narrow,
        fp32: Graphs,
        *,
        chosen: Chosen,
        judge: Judge,
        gate: Gate,
        say: Say,
    ) -> None:
        self._manifest = manifest
        self._precision = precision
        self._fp32 = fp32
        self._chosen = chosen
        self._judge = judge
        self._gate = gate
        self._say = say
        self._tried: list[Tried] = []
        self._overflowing: tuple[str, ...] = ()

    def run(self) -> Outcome:
        """The graph with the fewest layers put back that passes.

        Raises:
            InputError: No layer can run in INT8.
            CalibrationError: No graph passes; says what could be had.
        """
        self._find_overflow()
        candidates, scores = self._best()
        failed = failures(self._gate, scores)
        if not failed:
            return self._outcome(candidates, (), scores, ())
        if len(candidates.layers) < 2:
            raise CalibrationError(f"{self._refusal()}: {'; '.join(failed)}. There is no layer to put back")
        self._say(f"the gate fails: {'; '.join(failed)}. Measuring which layers cost most:")
        ranking = rank(candidates, self._fp32, spread_tiles(self._chosen.calibration), self._say)
        judged = {0: scores}

        def passes(count: int) -> bool:
            back = _layers(ranking[:count])
            what = f"{candidates.method}, {len(back)} of {len(candidates.layers)} layers put back"
            judged[count] = self._judged(candidates, back, what)
            return not failures(self._gate, judged[count])

        count = fewest(len(ranking) - 1, passes)
        if count is None:
            raise CalibrationError(self._what_could_be_had(candidates, ranking, judged))
        return self._outcome(candidates, _layers(ranking[:count]), judged[count], ranking)

    def _find_overflow(self) -> None:
        form = tile_form(self._fp32)
        self._overflowing = layers_beyond_half(self._fp32[form], [tile.inputs for tile in self._chosen.calibration])
        if self._overflowing:
            self._say(f"FP16 overflows, so these stay FP32: {', '.join(self._overflowing)}")

    def _best(self) -> tuple[Candidates, Scores]:
        """The candidate of the best method, without a layer put back."""
        found = [(each, self._judged(each, (), f"{each.method}, all layers")) for each in self._methods()]
        return max(found, key=lambda pair: pair[1].psnr_db)

    def _methods(self) -> Iterable[Candidates]:
        if self._precision == "fp16":
            yield FP16Candidates(self._fp32, self._overflowing)
            return
        fp16 = {form: fp16_graph(graph, present(graph, self._overflowing)) for form, graph in self._fp32.items()}
        graph = self._fp32[tile_form(self._fp32)]
        layers = quantizable_layers(graph)
        if not layers:
            raise InputError(f"the model {self._manifest.name} has no layer that can run in INT8")
        inputs = (tile.inputs for tile in self._chosen.calibration)
        histograms = collect(graph, quantized_tensors(graph, layers), inputs)
        yield INT8Candidates("minmax", fp16, minmax(histograms))
        yield INT8Candidates("percentile", fp16, percentile(histograms))
        yield INT8Candidates("entropy", fp16, entropy(histograms))

    def _judged(self, candidates: Candidates, put_back: Sequence[str], what: str) -> Scores:
        graphs = graphs_of(candidates, tuple(self._fp32), put_back)
        scores = self._judge.scores(Runner(self._manifest, graphs, candidates.compile))
        self._tried.append(Tried(what=what, scores=scores))
        self._say(f"{self._precision}, {what}: {words(scores)}")
        return scores

    def _outcome(
        self, candidates: Candidates, put_back: tuple[str, ...], scores: Scores, ranking: tuple[Sensitivity, ...]
    ) -> Outcome:
        graphs = graphs_of(candidates, tuple(self._fp32), put_back)
        return Outcome(
            precision=self._precision,
            method=candidates.method,
            graphs=graphs,
            scores=scores,
            put_back=put_back,
            overflowing=self._overflowing,
            wider=candidates.wider(put_back),
            ranking=ranking,
            tried=tuple(self._tried),
            with_bf16=self._with_bf16(graphs),
            fp32=self._judge.fp32_truth,
            gate=self._gate,
            chosen=self._chosen,
        )

    def _with_bf16(self, graphs: Graphs) -> Scores | None:
        if self._precision == "fp16" or not has_bf16():
            return None
        scores = self._judge.scores(Runner(self._manifest, graphs, openvino_bf16))
        self._say(f"int8, with BF16 for the rest: {words(scores)}")
        return scores

    def _refusal(self) -> str:
        name = self._precision.upper()
        return f"no {name} graph of {self._manifest.name} passes the gate; the bundle is left as it is"

    def _what_could_be_had(
        self, candidates: Candidates, ranking: Sequence[Sensitivity], judged: dict[int, Scores]
    ) -> str:
        name, wide = self._precision.upper(), "FP32" if self._precision == "fp16" else "FP16"
        last, least = ", ".join(ranking[-1].layers), judged[len(ranking) - 1]
        return (
            f"{self._refusal()}. Even with {last} alone in {name} and all other layers in {wide}: "
            f"{'; '.join(failures(self._gate, least))}. What could be had: all layers in {name} ({candidates.method}): "
            f"{words(judged[0])}; {last} alone: {words(least)}. The most sensitive layers are "
            f"{', '.join(_layers(ranking[:3]))}. Loosen the gate, or give scenes that are more like those in flight"
        )


def fewest(most: int, passes: Callable[[int], bool]) -> int | None:
    """The least count from 1 to `most` that passes, by halving; None where not even `most` does.

    Where the scores are not quite monotonous, it is one that passes.
    """
    if most < 1 or not passes(most):
        return None
    failing, passing = 0, most
    while passing - failing > 1:
        middle = (failing + passing) // 2
        if passes(middle):
            passing = middle
        else:
            failing = middle
    return passing


def words(scores: Scores) -> str:
    """The scores in a line."""
    if scores.overflowed:
        return f"NaN or infinity on {', '.join(scores.overflowed)}"
    near = f"{scores.psnr_db:.1f} dB and {scores.worst_band_rmse:.5f} in the worst band against FP32"
    if scores.truth is None:
        return near
    truth = scores.truth
    return (
        f"loses {truth.psnr_loss_db:.3f} dB and {truth.sam_change_percent:.2f} percent of SAM "
        f"({truth.sam_p95_change_percent:.2f} at the 95th percentile), {near}"
    )


def _layers(blocks: Sequence[Sensitivity]) -> tuple[str, ...]:
    return tuple(name for block in blocks for name in block.layers)
