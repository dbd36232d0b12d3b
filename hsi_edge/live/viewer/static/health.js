// The strip of health and latency, and the banners for what nobody may overlook.

const at = (id) => document.getElementById(id);
const SHADES = ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#777777"];
const HEALTH = { ok: ["OK", "good"], degraded: ["Degraded", "warn"], failing: ["Failing", "bad"] };
const STATE = { waiting: "waiting", running: "running", lost: "LOST", ended: "ended" };

export const seconds = (ms) => (ms === null || ms === undefined ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min`);
export const bytes = (count) => (count < 1e6 ? `${Math.round(count / 1e3)} kB` : count < 1e9 ? `${(count / 1e6).toFixed(0)} MB` : `${(count / 1e9).toFixed(1)} GB`);

export function showStatus(status) {
  const [words, level] = HEALTH[status.health.state];
  text("health", words);
  at("health").dataset.level = level;
  text("since", status.mode ? `${status.mode === "fusion" ? "fused" : "not fused"} for ${seconds(1000 * status.mode_since_s)}` : "");
  at("reasons").dataset.state = status.health.state;
  fill("reasons", status.health.reasons.map((reason) => element("li", reason)));
  fill("sensors", [...sensor("RGB", status.rgb), ...sensor("Spectral", status.spectral)]);
  showLatencies(status);
  showCounts(status);
}

export function showUnknown() {
  text("health", "Unknown");
  at("health").dataset.level = "wait";
}

function sensor(name, { state, frames_per_s, newest_age_ms, lost, refused, error }) {
  const rate = state === "running" ? `${frames_per_s.toFixed(1)} /s` : "–";
  const row = element("tr");
  const head = element("th", name);
  head.scope = "row";
  const pill = element("span", STATE[state], "pill small");
  pill.dataset.level = { running: "good", lost: "bad" }[state] ?? "wait";
  const cell = element("td");
  cell.append(pill);
  row.append(head, cell, element("td", rate), element("td", seconds(newest_age_ms)), element("td", `${lost + refused}`));
  if (!error) return [row];
  const below = element("tr");
  const words = element("td", error, "error");
  words.colSpan = 5;
  below.append(words);
  return [row, below];
}

function showLatencies({ latencies, deadline_ms }) {
  const stages = Object.entries(latencies).filter(([name]) => name !== "age");
  const total = Math.max(deadline_ms, ...stages.map(([, { p50_ms }]) => p50_ms), stages.reduce((sum, [, { p50_ms }]) => sum + p50_ms, 0));
  const age = latencies.age;
  text("latency-words", age ? `median ${seconds(age.p50_ms)}, p99 ${seconds(age.p99_ms)}, deadline ${seconds(deadline_ms)}` : "");
  fill("bar", stages.map(([, { p50_ms }], i) => {
    const part = element("i");
    part.style.width = `${(100 * p50_ms) / total}%`;
    part.style.background = SHADES[i % SHADES.length];
    return part;
  }));
  const words = stages.map(([name, { p50_ms }]) => `${name} ${p50_ms.toFixed(1)} ms`);
  at("bar").setAttribute("aria-label", `Median latency of a deadline of ${deadline_ms} ms: ${words.join(", ")}`);
  fill("stages", words.map((word, i) => {
    const swatch = element("i", "", "swatch");
    swatch.style.background = SHADES[i % SHADES.length];
    const item = element("li");
    item.append(swatch, ` ${word}`);
    return item;
  }));
}

function showCounts(status) {
  const passed = Object.values(status.sinks).reduce((sum, sink) => sum + sink.passed_by, 0);
  const counts = {
    Results: status.results,
    Flagged: status.flagged,
    Withheld: status.withheld,
    Late: status.late,
    "RGB holes": `${status.unmeasured_rgb_px} px`,
    Dropped: status.skipped + passed,
    Failed: status.failed,
    Unpaired: status.unpaired_rgb + status.unpaired_spectral,
    Memory: bytes(status.memory_bytes),
    // Looked at while something is recorded, and not before.
    "Disk free": status.recording.path ? bytes(status.recording.free_bytes) : "–",
  };
  fill("counts", Object.entries(counts).map(([name, value]) => {
    const group = element("div");
    group.append(element("dt", name), element("dd", `${value}`));
    return group;
  }));
}

// What must not be overlooked, worst first: [level, title, words].
export function alarms({ open, why, silent, status, frame, stale }) {
  const found = [];
  if (!open) found.push(["bad", "No connection", why || "The device does not answer. Trying again."]);
  if (!status) return found;
  if (silent) found.push(["bad", "Pipeline silent", "The pipeline does not answer; nothing on this page is new."]);
  if (status.spectral.state === "lost") {
    found.push(["bad", "Spectral sensor lost", [frame ? "No new results; shown is the last picture" : "No results", status.spectral.error].filter(Boolean).join(" · ")]);
  } else if (stale && open && !silent) {
    found.push(["bad", "Old picture", "Nothing newer has come."]);
  }
  if (frame?.mode === "single") found.push(["warn", "Not fused", frame.reason]);
  if (frame?.flagged) found.push(["warn", "Doubtful frame", frame.doubts.join("; ")]);
  if (frame?.late) found.push(["warn", "Late", `This frame was ready after its deadline of ${seconds(status.deadline_ms)}.`]);
  if (status.recording.stopped) found.push(["bad", "Recording stopped", status.recording.stopped]);
  return found;
}

export function showAlarms(found) {
  const shown = found.map(([level, title, words]) => {
    const banner = element("div", "", "banner");
    banner.dataset.level = level;
    banner.append(element("b", title), element("span", words));
    return banner;
  });
  fill("banners", shown);
  document.documentElement.style.setProperty("--banners", `${at("banners").offsetHeight}px`);
}

export function element(kind, words = "", name = "") {
  const made = document.createElement(kind);
  made.textContent = words;
  if (name) made.className = name;
  return made;
}

// Only what differs is touched: a screen reader would read a banner again and again.
function fill(id, children) {
  const old = at(id);
  const shell = old.cloneNode(false);
  shell.append(...children);
  if (shell.innerHTML !== old.innerHTML) old.replaceChildren(...shell.childNodes);
}

export function text(id, words) {
  if (at(id).textContent !== words) at(id).textContent = words;
}
