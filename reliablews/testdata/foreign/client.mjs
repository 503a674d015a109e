// A client written from PROTOCOL.md alone, on the WebSockets of the package ws:
// the least that keeps the promise, with the inbox and messages to the server.
import { randomBytes } from "node:crypto";
import WebSocket from "ws";

const NEVER = [1002, 1003, 1008, 1009, 4000, 4003, 4005];

export class Client {
  session = {};
  backoff = { start: 1000, factor: 2, max: 30000 };
  asked = []; // without an answer: { frame, resolve }
  name = randomBytes(8).toString("hex");
  number = 0;
  unacked = 0;

  // hear gets each message, snapshot, gap, welcome and end.
  constructor(url, positions, hear) {
    Object.assign(this, { url, positions, hear });
    this.wait = this.backoff.start;
    this.dial();
  }

  dial() {
    const ws = new WebSocket(this.url, "reliablews.v1");
    Object.assign(this, { ws, welcomed: false, delay: 0, timeout: 10000, began: Date.now() });
    this.alive();
    ws.on("open", () => this.say({ t: "hello", ...this.session, topics: this.positions }));
    ws.on("message", (data) => {
      if (ws !== this.ws) return;
      this.alive();
      try {
        this.handle(JSON.parse(data));
      } catch (e) {
        this.ended(0, e.message);
      }
    });
    ws.on("error", () => {}); // close follows
    ws.on("close", (code, reason) => ws === this.ws && this.ended(code, String(reason)));
  }

  alive() {
    clearTimeout(this.watchdog);
    this.watchdog = setTimeout(() => this.ended(0, "silent"), this.timeout);
  }

  ended(code, reason) {
    clearTimeout(this.watchdog);
    this.ws.terminate();
    this.ws = undefined;
    if (code === 4001) this.session = {};
    if (this.welcomed && Date.now() - this.began >= 10000) this.wait = this.backoff.start;
    const never = this.closed || NEVER.includes(code);
    this.hear("end", { code, reason, never });
    if (never) return;
    this.timer = setTimeout(() => this.dial(), this.delay || Math.random() * this.wait);
    this.wait = Math.min(this.wait * this.backoff.factor, this.backoff.max);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    if (this.ws) this.ended(1000, "");
  }

  say(frame) {
    if (this.unacked && this.welcomed) frame = { ...frame, pos: { "@": this.positions["@"].offset } };
    this.unacked = 0;
    this.ws.send(JSON.stringify(frame));
  }

  send(m, d) {
    return new Promise((resolve) => {
      this.asked.push({ frame: { t: "send", c: this.name, n: ++this.number, m, d }, resolve });
      this.flush();
    });
  }

  flush() {
    if (!this.welcomed || !this.ws) return;
    for (const a of this.asked) {
      if (a.frame.n >= this.asked[0].frame.n + this.window) return;
      if (a.on !== this.ws) this.say((a.on = this.ws) && a.frame);
    }
  }

  move(kind, s, epoch, offset, more) {
    this.positions[s] = { epoch, offset };
    if (s === "@" && ++this.unacked === 1) setTimeout(() => this.unacked && this.welcomed && this.ws && this.say({ t: "ack" }), 500);
    this.hear(kind, { s, epoch, offset, ...more });
  }

  handle(f) {
    if (!this.welcomed && f.t !== "welcome" && f.t !== "bye") throw new Error("no welcome");
    const { s, o = 0, p = 0, d } = f;
    const at = this.positions[s];
    switch (f.t) {
      case "welcome":
        this.session = { session: f.session, token: f.token };
        for (const [s, { epoch, offset = 0, resumed }] of Object.entries(f.topics ?? {})) {
          if (resumed) this.positions[s] = { epoch, offset };
        }
        Object.assign(this, { welcomed: true, timeout: f.timeout, window: f.window ?? 64 });
        if (f.backoff) this.wait = Math.min(this.wait, (this.backoff = f.backoff).max);
        this.alive();
        this.hear("welcome", f);
        return this.flush();
      case "msg":
        if (o <= at.offset) return; // seen
        if (p > at.offset) throw new Error("hole");
        return this.move("message", s, at.epoch, o, { d });
      case "snap":
        return this.move("snapshot", s, f.e, o, { d });
      case "gap":
        if (at?.epoch === f.e && p <= o && o <= at.offset) return; // old
        return this.move("gap", s, f.e, o, { p, reason: f.reason });
      case "ping":
        for (const [s, o] of Object.entries(f.pos ?? {})) {
          if (this.positions[s]) this.positions[s].offset = Math.max(this.positions[s].offset, o);
        }
        this.say({ t: "pong", ts: f.ts });
        if (f.pos) this.hear("ping", f.pos);
        return;
      case "done": {
        const i = this.asked.findIndex((a) => a.frame.n === f.n);
        if (i < 0) return; // repeated
        this.asked.splice(i, 1)[0].resolve({ d: d ?? null, refused: f.refused, error: f.error });
        return this.flush();
      }
      case "bye":
        this.delay = f.delay;
    }
  }
}
