// The spectra that were asked for: a pin each, with the fused spectrum as a line and the sensor's dashed, over wavelength.

const MOST_PINS = 6;

const at = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const letter = (slot) => String.fromCharCode(65 + slot);
const round = (value) => (value === null ? "no measurement" : Number(value.toPrecision(3)).toString());

export class Spectra {
  // measure(request, area): asks the device; changed(marks): called with what is to be marked on the picture.
  constructor(measure, changed) {
    this.measure = measure;
    this.changed = changed;
    this.pins = [];
    this.requests = 0;
    this.x = [];
    at("clear").onclick = () => this.clear();
    at("again").onclick = () => this.pins.forEach((pin) => this.ask(pin));
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(at("plot"));
  }

  scene(scene) {
    this.facts = scene;
    this.x = scene.wavelengths_nm ?? Array.from({ length: scene.bands }, (_, i) => i + 1);
    // Bands need not be in order (overlapping spectrometers); a line must be.
    this.order = this.x.map((_, i) => i).sort((a, b) => this.x[a] - this.x[b]);
    this.clear();
  }

  add(area) {
    if (this.pins.length === MOST_PINS) this.pins.shift();
    const used = new Set(this.pins.map((pin) => pin.slot));
    const slot = [...Array(MOST_PINS).keys()].find((i) => !used.has(i));
    const pin = { area, slot, found: null };
    this.pins.push(pin);
    this.ask(pin);
    this.show();
  }

  ask(pin) {
    pin.request = ++this.requests;
    this.measure(pin.request, pin.area);
  }

  found(answer) {
    const pin = this.pins.find((one) => one.request === answer.request);
    if (!pin) return;
    pin.found = answer;
    this.show();
  }

  remove(pin) {
    this.pins = this.pins.filter((one) => one !== pin);
    this.show();
  }

  clear() {
    this.pins = [];
    this.show();
  }

  show() {
    at("pins").replaceChildren(...this.pins.map((pin) => this.entry(pin)));
    const none = this.pins.length === 0;
    at("clear").disabled = at("again").disabled = none;
    at("plot").hidden = at("keys").hidden = none;
    at("no-pins").hidden = !none;
    this.changed(this.pins.map(({ area, slot }) => ({ area, name: letter(slot), colour: css(`--pin-${slot}`) })));
    this.draw();
  }

  entry(pin) {
    const entry = document.createElement("li");
    entry.style.setProperty("--own", `var(--pin-${pin.slot})`);
    const name = document.createElement("b");
    name.textContent = letter(pin.slot);
    const words = document.createElement("div");
    words.className = "words";
    words.append(place(pin.area), document.createElement("br"));
    const small = document.createElement("small");
    small.textContent = pin.found ? this.words(pin.found) : "measuring";
    words.append(small);
    const away = document.createElement("button");
    away.type = "button";
    away.textContent = "×";
    away.setAttribute("aria-label", `Remove spectrum ${name.textContent}`);
    away.onclick = () => this.remove(pin);
    entry.append(name, words, away);
    return entry;
  }

  words({ number, fused, sensor }) {
    const pixels = fused.pixels > 1 ? `, mean of ${fused.pixels} px` : "";
    return `frame ${number}${pixels}; sensor ${sensor.pixels} px`;
  }

  draw() {
    const series = [{}];
    const data = [this.order ? this.order.map((i) => this.x[i]) : []];
    const bands = [];
    const sorted = (values) => this.order.map((i) => values[i]);
    for (const pin of this.pins.filter((one) => one.found)) {
      const colour = css(`--pin-${pin.slot}`);
      for (const [kind, dash] of [["fused", []], ["sensor", [7, 5]]]) {
        const { mean, std } = pin.found[kind];
        series.push({ stroke: colour, width: 2.5, dash, points: { show: false } });
        data.push(sorted(mean));
        if (!std) continue;
        const edges = [1, -1].map((sign) => sorted(mean.map((value, i) => (value === null ? null : value + sign * std[i]))));
        for (const edge of edges) {
          series.push({ stroke: "transparent", width: 0, points: { show: false } });
          data.push(edge);
        }
        bands.push({ series: [series.length - 2, series.length - 1], fill: `${colour}${kind === "fused" ? "38" : "1c"}` });
      }
    }
    this.plot?.destroy();
    this.plot = new uPlot({ ...this.size(), ...this.look(), series, bands }, data, at("plot"));
    at("plot").setAttribute("aria-label", this.spoken());
  }

  look() {
    const axis = { stroke: css("--ink"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--line") }, font: "600 14px system-ui, sans-serif", labelFont: "600 14px system-ui, sans-serif" };
    const known = this.facts?.wavelengths_nm;
    const unit = this.facts?.unit ? ` (${this.facts.unit})` : "";
    return {
      scales: { x: { time: false } },
      cursor: { drag: { x: false, y: false } },
      legend: { show: false },
      axes: [
        { ...axis, label: known ? "wavelength (nm)" : "band", labelSize: 22, size: 36 },
        { ...axis, label: `${this.facts?.quantity ?? "value"}${unit}`, labelSize: 22, size: 66 },
      ],
    };
  }

  size() {
    return { width: at("plot").clientWidth || 300, height: at("plot").clientHeight || 250 };
  }

  // For those who cannot see the plot: the first, middle and last band of every pin.
  spoken() {
    const pins = this.pins.filter((pin) => pin.found);
    if (!pins.length) return "No spectrum yet";
    const some = [0, Math.floor(this.x.length / 2), this.x.length - 1].map((i) => this.order[i]);
    const unit = this.facts.wavelengths_nm ? "nm" : "";
    const values = ({ mean }) => some.map((i) => `${round(mean[i])} at ${Math.round(this.x[i])} ${unit}`).join(", ");
    return pins.map((pin) => `${letter(pin.slot)}: fused ${values(pin.found.fused)}; sensor ${values(pin.found.sensor)}`).join(". ");
  }
}

function place({ left, top, right, bottom }) {
  if (right - left === 1 && bottom - top === 1) return `column ${left}, row ${top}`;
  return `${right - left} × ${bottom - top} px at column ${left}, row ${top}`;
}
