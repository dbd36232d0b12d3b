// The page: brings together the line to the device, the picture, the spectra and the strip of health.

import { Connection } from "./connection.js";
import { alarms, bytes, element, seconds, showAlarms, showStatus, showUnknown, text } from "./health.js";
import { Spectra } from "./spectra.js";
import { Stage } from "./stage.js";

const at = (id) => document.getElementById(id);
const TICK_MS = 100;
const RATE_OVER = 12;

const now = { scene: null, frame: null, status: null, silent: false, why: "", age_ms: null, seen_ms: 0, drawn: [], problem: "" };

const stage = new Stage((area) => spectra.add(area));
const spectra = new Spectra(
  (request, area) => connection.send({ ask: "spectra", request, number: now.frame?.number ?? 0, area }),
  (marks) => stage.mark(marks),
);
const connection = new Connection({
  scene: showScene,
  frame: showFrame,
  status: heard,
  spectra: (answer) => spectra.found(answer),
  refused: (answer) => say(answer.why),
  closed: (why) => {
    now.why = why;
    tick();
  },
});
// For tests, and for the curious.
window.viewer = { now, spectra, stage, connection };

function showScene(scene) {
  now.scene = scene;
  stage.scene(scene.rows, scene.cols, scene.ratio);
  spectra.scene(scene);
  at("show").querySelector("[data-show=infrared]").disabled = !scene.infrared;
  const options = scene.indices.map(({ name, title, there, needs_nm }) => {
    const option = element("option", there ? title : `${title} (needs ${needs_nm.join(" and ")} nm)`);
    option.value = name;
    option.disabled = !there;
    return option;
  });
  at("index").replaceChildren(at("index").options[0], ...options);
  sliders().forEach((slider, i) => {
    slider.max = scene.bands - 1;
    slider.value = bandOrder().indexOf(scene.natural[i]);
  });
  showSliders();
}

async function showFrame(header, pictures) {
  await stage.draw(pictures, header.mode);
  now.frame = header;
  now.drawn = [...now.drawn, performance.now()].slice(-RATE_OVER);
  heard(header);
  showLegend(header.legend);
  text("number", `${header.number}`);
}

function heard({ age_ms, status, silent }) {
  Object.assign(now, { age_ms, seen_ms: performance.now(), status, silent, why: "" });
  if (status) {
    showStatus(status);
    showRecord(status.recording);
  }
  tick();
}

function tick() {
  const age_ms = now.frame ? now.age_ms + performance.now() - now.seen_ms : null;
  const since_ms = performance.now() - (now.drawn.at(-1) ?? 0);
  const stale = now.frame !== null && (!connection.open || now.silent || since_ms > now.status.stale_after_ms);
  text("age", seconds(age_ms));
  text("rate", stale ? "–" : rate());
  stage.stale(stale ? `${seconds(age_ms)} old` : "");
  showMode(stale);
  if (!connection.open) showUnknown();
  const found = alarms({ ...now, open: connection.open, stale });
  if (now.problem) found.push(["warn", "Not done", now.problem]);
  showAlarms(found);
}

function rate() {
  const last = now.drawn.at(-1);
  if (now.drawn.length < 2) return "–";
  return `${((1000 * (now.drawn.length - 1)) / (last - now.drawn[0])).toFixed(1)} /s`;
}

function showMode(stale) {
  const [words, level] = !now.frame
    ? [connection.open ? "Waiting for a frame" : "Connecting", "wait"]
    : stale
      ? ["Stale", "bad"]
      : now.frame.flagged
        ? ["Doubtful", "warn"]
        : { fusion: ["Fusion", "good"], single: ["Single sensor", "warn"] }[now.frame.mode];
  text("mode", words);
  at("mode").dataset.level = level;
}

function showRecord({ on, bytes_written }) {
  at("record").disabled = false;
  at("record").setAttribute("aria-pressed", on);
  text("record-words", on ? `Stop · ${bytes(bytes_written)}` : "Record");
}

at("record").onclick = async () => {
  const on = at("record").getAttribute("aria-pressed") !== "true";
  at("record").disabled = true;
  try {
    const answer = await fetch("/recording", { method: "POST", body: JSON.stringify({ on }) });
    say(answer.ok ? "" : (await answer.json()).error);
  } catch {
    say("The device did not answer to the record button.");
  }
};

function say(problem) {
  now.problem = problem;
  tick();
  setTimeout(() => {
    if (now.problem === problem) now.problem = "";
  }, 8000);
}

// What is shown

const sliders = () => [...at("sliders").querySelectorAll("input")];
const bandOrder = () => spectra.order;

function choose(show) {
  at("sliders").hidden = show !== "bands";
  const bands = show === "bands" ? sliders().map((slider) => bandOrder()[slider.value]) : [];
  connection.look({ show, bands });
  for (const button of at("show").querySelectorAll("button")) check(button, button.dataset.show === show);
  at("index").classList.toggle("on", at("index").value !== "");
}

function check(button, on) {
  button.setAttribute("aria-checked", on);
  button.tabIndex = on ? 0 : -1;
}

function showSliders() {
  for (const label of at("sliders").children) {
    const band = bandOrder()[label.querySelector("input").value];
    const nm = now.scene.wavelengths_nm;
    const words = nm ? `${Math.round(nm[band])} nm` : `band ${band + 1}`;
    label.querySelector("output").textContent = words;
    label.querySelector("input").setAttribute("aria-valuetext", words);
  }
}

for (const button of at("show").querySelectorAll("button")) {
  button.onclick = () => {
    at("index").value = "";
    choose(button.dataset.show);
  };
}
at("index").onchange = () => choose(at("index").value || "natural");
for (const slider of sliders()) {
  slider.oninput = () => {
    showSliders();
    clearTimeout(slider.later);
    slider.later = setTimeout(() => choose("bands"), TICK_MS);
  };
}
at("overlay").onchange = () => {
  connection.look({ overlay: at("overlay").value });
  at("overlay").classList.toggle("on", at("overlay").value !== "none");
};
for (const group of document.querySelectorAll("[role=radiogroup]")) {
  group.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const buttons = [...group.querySelectorAll("button:not(:disabled)")];
    const place = buttons.indexOf(event.target);
    if (!by || place < 0) return;
    event.preventDefault();
    const next = buttons[(place + by + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
}
check(at("show").querySelector("[data-show=natural]"), true);

function showLegend({ index, limits, bands }) {
  const parts = [];
  const { colours, indices, wavelengths_nm: nm, quantity } = now.scene;
  if (index) {
    const { title, meaning } = indices.find(({ name }) => name === index);
    parts.push(scale(`${title}: ${meaning}`, colours.index, limits));
  } else {
    const names = bands.map((band) => (nm ? `${Math.round(nm[band])}` : `${band + 1}`));
    parts.push(element("div", `${nm ? "" : "bands "}${names.join(" / ")}${nm ? " nm" : ""} · ${quantity} ${limits.map((v) => Number(v.toPrecision(2))).join(" to ")}`));
  }
  const { overlay } = connection.view;
  if (overlay === "residual") parts.push(scale("residual / bound", colours.residual, [0, colours.residual_top]));
  if (overlay === "confidence") {
    const row = element("div", "", "scale");
    for (const [colour, words] of [...colours.confidence, [colours.no_measurement, "no measurement"]]) {
      const swatch = element("i", "", "swatch");
      swatch.style.background = `rgb(${colour})`;
      const item = element("span");
      item.append(swatch, ` ${words}`);
      row.append(item);
    }
    parts.push(row);
  }
  const key = JSON.stringify([index, bands, overlay, limits.map((v) => v.toPrecision(2))]);
  if (showLegend.key !== key) at("legend").replaceChildren(...parts);
  showLegend.key = key;
}

function scale(words, colours, [low, high]) {
  const row = element("div", "", "scale");
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [130, 1];
  const context = canvas.getContext("2d");
  const gradient = context.createLinearGradient(0, 0, 130, 0);
  colours.forEach((colour, i) => gradient.addColorStop(i / (colours.length - 1), `rgb(${colour})`));
  context.fillStyle = gradient;
  context.fillRect(0, 0, 130, 1);
  row.append(element("span", words), element("span", `${low}`), canvas, element("span", `${high}`));
  return row;
}

// Light and dark

function theme(name) {
  document.documentElement.dataset.theme = name;
  const other = name === "dark" ? "Light" : "Dark";
  at("theme").textContent = other;
  at("theme").setAttribute("aria-label", `${other} colours`);
  localStorage.setItem("theme", name);
  spectra.show();
}
at("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
theme(localStorage.getItem("theme") ?? "light");

// The token is in the cookie now, and need not stay in the history.
if (new URLSearchParams(location.search).has("token")) history.replaceState(null, "", location.pathname);
setInterval(tick, TICK_MS);
