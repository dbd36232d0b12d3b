// The picture: the sensor's frame to the left of a handle, the fused one to its right, marks, and choosing with a finger or keys.

const SVG = "http://www.w3.org/2000/svg";
const DRAG_PX = 8;

const at = (id) => document.getElementById(id);

export class Stage {
  // chosen(area): called with {left, top, right, bottom} in pixels of the fused frame, half-open.
  constructor(chosen) {
    this.element = at("stage");
    this.chosen = chosen;
    this.rows = this.cols = 0;
    this.marks = [];
    this.area = null;
    this.listen();
    this.listenHandle();
    this.split(50);
  }

  scene(rows, cols, ratio) {
    const same = rows === this.rows && cols === this.cols;
    [this.rows, this.cols] = [rows, cols];
    this.element.style.setProperty("--aspect", cols / rows);
    at("marks").setAttribute("viewBox", `0 0 ${cols} ${rows}`);
    at("marks").setAttribute("preserveAspectRatio", "none");
    at("sensor-words").textContent = `Sensor ${cols / ratio} × ${rows / ratio}`;
    this.cursor = { left: Math.floor(cols / 2), top: Math.floor(rows / 2), right: Math.floor(cols / 2) + 1, bottom: Math.floor(rows / 2) + 1 };
    return same;
  }

  async draw(pictures, mode) {
    const names = Object.keys(pictures);
    const bitmaps = await Promise.all(names.map((name) => createImageBitmap(pictures[name])));
    names.forEach((name, i) => paint(at(name === "overlay" ? "over" : name), bitmaps[i]));
    at("over").hidden = !pictures.overlay;
    at("fused-words").textContent = `${mode === "fusion" ? "Fused" : "Sensor alone"} ${this.cols} × ${this.rows}`;
  }

  stale(words) {
    this.element.classList.toggle("stale", words !== "");
    at("stale").hidden = words === "";
    at("stale").textContent = words;
  }

  split(percent) {
    this.percent = Math.max(0, Math.min(100, percent));
    this.element.style.setProperty("--split", `${this.percent}%`);
    at("handle").setAttribute("aria-valuenow", Math.round(this.percent));
    at("handle").setAttribute("aria-valuetext", `${Math.round(this.percent)} percent sensor`);
  }

  // marks: [{area, name, colour}]
  mark(marks) {
    this.marks = marks;
    this.redraw();
  }

  redraw() {
    const shapes = [];
    for (const { area, name, colour } of this.marks) {
      for (const shape of [this.shape(area, "edge"), this.shape(area, "mark"), this.letter(area, name)]) {
        shape.style.color = colour;
        shapes.push(shape);
      }
    }
    if (this.area) shapes.push(this.shape(this.area, "area"));
    at("marks").replaceChildren(...shapes);
  }

  shape({ left, top, right, bottom }, kind) {
    const point = right - left === 1 && bottom - top === 1;
    const shape = document.createElementNS(SVG, point ? "ellipse" : "rect");
    const box = this.element.getBoundingClientRect();
    const values = point
      ? { cx: left + 0.5, cy: top + 0.5, rx: (9 * this.cols) / box.width, ry: (9 * this.rows) / box.height }
      : { x: left, y: top, width: right - left, height: bottom - top };
    for (const [name, value] of Object.entries(values)) shape.setAttribute(name, value);
    shape.setAttribute("class", kind);
    return shape;
  }

  letter({ left, top, right }, name) {
    const letter = document.createElementNS(SVG, "text");
    const px = this.cols / this.element.getBoundingClientRect().width;
    letter.setAttribute("x", right + (right - left === 1 ? 10 : 4) * px);
    letter.setAttribute("y", Math.max(top, 20 * px));
    letter.style.fontSize = `${20 * px}px`;
    letter.style.strokeWidth = `${5 * px}px`;
    letter.textContent = name;
    return letter;
  }

  pixel(event) {
    const box = this.element.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.cols);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
    return [Math.max(0, Math.min(this.cols - 1, x)), Math.max(0, Math.min(this.rows - 1, y))];
  }

  listen() {
    let start = null;
    this.element.addEventListener("pointerdown", (event) => {
      if (!this.rows || event.target.closest("#handle") || event.button > 0) return;
      start = { event, pixel: this.pixel(event) };
      this.element.setPointerCapture(event.pointerId);
    });
    this.element.addEventListener("pointermove", (event) => {
      if (!start) return;
      const far = Math.hypot(event.clientX - start.event.clientX, event.clientY - start.event.clientY) > DRAG_PX;
      if (!far && !this.area) return;
      this.area = between(start.pixel, this.pixel(event));
      this.redraw();
    });
    this.element.addEventListener("pointerup", () => {
      if (start) this.chosen(this.area || between(start.pixel, start.pixel));
      start = this.area = null;
      this.redraw();
    });
    this.element.addEventListener("pointercancel", () => {
      start = this.area = null;
      this.redraw();
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  key(event) {
    if (!this.rows || event.target !== this.element) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      const [dx, dy] = step.map((one) => one * Math.max(1, Math.round(this.cols / 64)));
      const c = this.cursor;
      const fits = event.shiftKey
        ? { ...c, right: Math.max(c.left + 1, c.right + dx), bottom: Math.max(c.top + 1, c.bottom + dy) }
        : { left: c.left + dx, top: c.top + dy, right: c.right + dx, bottom: c.bottom + dy };
      if (fits.left >= 0 && fits.top >= 0 && fits.right <= this.cols && fits.bottom <= this.rows) this.cursor = fits;
      this.area = this.cursor;
    } else if (event.key === "Enter") {
      this.chosen(this.cursor);
      this.area = null;
    } else if (event.key === "Escape") {
      this.area = null;
    } else {
      return;
    }
    event.preventDefault();
    this.redraw();
  }

  listenHandle() {
    const handle = at("handle");
    let held = false;
    handle.addEventListener("pointerdown", (event) => {
      held = true;
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!held) return;
      const box = this.element.getBoundingClientRect();
      this.split((100 * (event.clientX - box.left)) / box.width);
    });
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => (held = false));
    handle.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: this.percent - 5, ArrowRight: this.percent + 5, Home: 0, End: 100 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.split(to);
    });
  }
}

function between([x0, y0], [x1, y1]) {
  return { left: Math.min(x0, x1), top: Math.min(y0, y1), right: Math.max(x0, x1) + 1, bottom: Math.max(y0, y1) + 1 };
}

function paint(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
}
