// The line to the device: asks for the next picture when the last one is drawn, and comes back after a loss.

const PAUSES_MS = [500, 1000, 2000, 4000];

export class Connection {
  // told: {scene, frame, status, spectra, refused, closed}, functions that take what the device says; frame may be async.
  constructor(told) {
    this.told = told;
    this.view = { show: "natural", bands: [], overlay: "none" };
    this.wish = 0;
    this.drawn = -1;
    this.failures = 0;
    this.fastest_ms = Infinity;
    this.open = false;
    document.addEventListener("visibilitychange", () => this.ask());
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.socket.binaryType = "arraybuffer";
    this.drawn = -1;
    this.fastest_ms = Infinity;
    this.socket.onopen = () => {
      this.open = true;
      this.ask();
    };
    this.socket.onmessage = (event) => this.hear(event.data);
    this.socket.onclose = (event) => {
      this.open = false;
      const pause = PAUSES_MS[Math.min(this.failures++, PAUSES_MS.length - 1)];
      this.told.closed(event.reason);
      setTimeout(() => this.connect(), pause);
    };
  }

  look(change) {
    Object.assign(this.view, change);
    this.wish += 1;
    this.drawn = -1;
    this.ask();
  }

  ask() {
    if (this.open && !document.hidden) {
      this.send({ ask: "next", wish: this.wish, after: this.drawn, view: this.view });
    }
  }

  send(message) {
    if (this.open) this.socket.send(JSON.stringify(message));
  }

  async hear(data) {
    this.failures = 0;
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.say === "status") this.timed(said);
      this.told[said.say](said);
      if (said.say === "status") this.ask();
      return;
    }
    const [header, pictures] = parted(data);
    this.timed(header);
    await this.told.frame(header, pictures);
    // A picture of an older wish does not count: the newer one may show the same frame again.
    this.drawn = header.wish === this.wish ? header.number : -1;
    this.ask();
  }

  // A message that took longer than the fastest one was on its way for so much longer: its age grows by that.
  timed(said) {
    const late_ms = performance.now() - said.now_ms;
    this.fastest_ms = Math.min(this.fastest_ms, late_ms);
    if (said.age_ms !== null) said.age_ms += late_ms - this.fastest_ms;
  }
}

function parted(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const pictures = {};
  let offset = 4 + length;
  for (const [name, type, bytes] of header.pictures) {
    pictures[name] = new Blob([new Uint8Array(buffer, offset, bytes)], { type });
    offset += bytes;
  }
  return [header, pictures];
}
