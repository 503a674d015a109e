// @ts-check

// A client of a reliablews hub: see README.md and PROTOCOL.md.

/**
 * @typedef {{ epoch: string, offset: number }} Position
 *
 * "message", and "snapshot": what stands for everything up to its position.
 * @typedef {{ topic: string, position: Position, data: any }} Message
 *
 * "gap": what came after `from`, up to `position`, cannot be had any more.
 * @typedef {{ topic: string, from: number, position: Position, reason: string }} Gap
 *
 * "state". live: `denied` are topics that the server does not give, `via` is how
 * where WebSockets fail. waiting: until `retryAt` of Date.now(), or until the
 * page is visible. refused, an event too: for ever, with a close code.
 * @typedef {{
 *   status: "closed" | "connecting" | "live" | "waiting" | "refused",
 *   denied?: string[], via?: Via, retryAt?: number, reason?: string, code?: number,
 * }} State
 * @typedef {"stream" | "poll" | undefined} Via
 *
 * @typedef {{
 *   message: CustomEvent<Message>, snapshot: CustomEvent<Message>,
 *   gap: CustomEvent<Gap>, state: CustomEvent<State>, refused: CustomEvent<{ reason: string, code: number }>,
 * }} Events
 * @typedef {<K extends keyof Events>(type: K, listener: ((event: Events[K]) => void) | null,
 *   options?: boolean | AddEventListenerOptions) => void} Listen
 * @typedef {{
 *   addEventListener: Listen, removeEventListener: Listen, dispatchEvent(event: Event): boolean,
 * }} Target
 *
 * @typedef {{
 *   topics: Record<string, Position | null | "stored">,
 *   getToken?: () => string | Promise<string>,
 *   queue?: number,
 *   WebSocket?: any,
 *   fetch?: any,
 *   storage?: Storage,
 *   key?: string,
 * }} Options
 *
 * A connection, or what stands for one; `hello` has been said there.
 * @typedef {{ via: Via, hello?: boolean, send: (frame: any) => void, close: () => void }} Link
 */

const SUBPROTOCOL = "reliablews.v1";
const FINAL = [1002, 1003, 1008, 1009, 4000, 4003]; // close codes after which not to come back
const TAKEN_OVER = 4001;
const UNAUTHORIZED = 4005;
const STATUS = [4000, UNAUTHORIZED, 0, 4003]; // what 400 to 403 of HTTP stand for
const INBOX = "@";

// Milliseconds.
const OPENING = 10000; // for a handshake, then for the welcome
const PROBE = 5000; // for a sign of life, and for a stream's welcome
const TIMEOUT = 45000; // of silence, until a welcome says otherwise
const STABLE = 10000; // a connection must last before the waits begin anew
const ACK = 500; // until a message of the inbox is acknowledged
const BESIDE = 60000; // between WebSockets while there is another way

const hidden = () => globalThis.document?.visibilityState === "hidden";
const size = (/** @type {any} */ frame) => new TextEncoder().encode(JSON.stringify(frame)).length;

export class Client extends /** @type {new () => Target} */ (/** @type {any} */ (EventTarget)) {
  #url;
  #options;
  /** @type {Map<string, Position | null>} */ #positions = new Map();
  #session; // and its token
  #hello = 0; // number of the latest
  /** @type {State} */ #state = { status: "closed" };
  /** @type {AbortController | undefined} */ #listening;
  /** @type {any} of the connection's watchdog, or until the next one */ #timer;
  #backoff = { start: 1000, factor: 2, max: 30000 };
  #wait = 1000; // the next one, before jitter

  // Messages to the server without an answer.
  /** @type {any[]} { frame, link, resolve, reject } */ #asked = [];
  #name = Date.now().toString(36) + Math.random().toString(36).slice(2);
  #number = 0; // of the last one that was sent

  // Of one connection.
  /** @type {Link | undefined} */ #link;
  #began = 0;
  #live = false;
  #heard = 0; // when
  #timeout = TIMEOUT;
  #delay = 0; // from the server's goodbye
  #window = 64;
  #limit = 65536;
  #unacked = 0; // messages of the inbox

  /** @type {Via} of the next */ #via;
  /** @type {Link | undefined} a WebSocket that may replace it */ #beside;
  #tried = 0; // a WebSocket, when

  /**
   * @param {string} url of the hub, such as "/ws"
   * @param {Options} options
   */
  constructor(url, options) {
    super();
    const absolute = new URL(url, globalThis.location?.href);
    absolute.protocol = absolute.protocol.replace("http", "ws");
    this.#url = absolute.href;
    this.#options = options;
    const { positions, ...session } = this.#take();
    this.#session = session;
    for (const [topic, at] of Object.entries(options.topics)) {
      this.#positions.set(topic, at === "stored" ? (positions?.[topic] ?? null) : at);
    }
  }

  /** As the latest "state" event said. */
  get state() {
    return this.#state;
  }

  /** In each topic, behind what was handed over last. */
  get positions() {
    return Object.fromEntries(this.#positions);
  }

  /** Connects, and connects again whenever the connection ends. */
  start() {
    if (this.#listening) return;
    const { signal } = (this.#listening = new AbortController());
    const on = (/** @type {any} */ target, /** @type {string} */ types, /** @type {() => void} */ f) => {
      for (const type of types.split(" ")) target?.addEventListener?.(type, f, { signal });
    };
    on(globalThis, "online pageshow", () => this.retryNow());
    on(globalThis, "offline", () => this.#probe());
    on(globalThis, "pagehide", () => this.#leave());
    on(globalThis.document, "visibilitychange resume", () => this.retryNow());
    on(globalThis.document, "freeze", () => this.#pause());
    this.#wait = this.#backoff.start;
    this.#dial(this.#via);
  }

  /** Ends the connection. start() begins again at the same positions. */
  close() {
    this.#stop({ status: "closed" });
  }

  /** Does not wait, or finds out if the connection is alive. */
  retryNow() {
    if (!this.#listening || hidden()) return;
    this.#take(); // back from the cache of pages
    if (this.#link) this.#probe();
    else this.#dial(this.#via);
  }

  /**
   * Asks the server, now or when it can. An error of the server's has `refused`.
   * @param {string} name of the handler
   * @param {any} [data]
   * @returns {Promise<any>} the answer
   */
  send(name, data) {
    return new Promise((resolve, reject) => {
      const { queue = 1000 } = this.#options;
      if (this.#asked.length >= queue) throw new Error(queue + " messages have no answer");
      // A repeat is the same.
      const frame = JSON.parse(JSON.stringify({ t: "send", c: this.#name, n: 0, m: name, d: data }));
      this.#asked.push({ frame, resolve, reject });
      this.#flush();
    });
  }

  /** Begins a connection, maybe beside another. */
  async #dial(/** @type {Via} */ via, beside = false) {
    if (hidden()) {
      if (!beside) this.#become({ status: "waiting", reason: "hidden" });
      return;
    }
    const { getToken, fetch = globalThis.fetch, WebSocket = globalThis.WebSocket } = this.#options;
    const abort = new AbortController();
    /** @type {Link} */
    const link = { via, send: () => {}, close: () => abort.abort() };
    const end = (/** @type {any} */ e, code = e.code) => {
      if (link === this.#link) this.#lost(String(e.message ?? e), code);
      else if (link === this.#beside) this.#beside = undefined;
    };
    // One that is given up may speak for a while.
    const hear = (/** @type {any} */ f) => {
      if (link === this.#beside && link.hello) this.#adopt();
      if (link !== this.#link) return;
      this.#heard = Date.now();
      this.#watch(this.#timeout);
      this.#handle(f);
      if (via && this.#live && this.#heard - this.#tried >= BESIDE) {
        this.#beside?.close();
        this.#dial(undefined, true);
      }
    };
    /** @type {string | undefined} */ let auth;
    const hello = () => {
      link.hello = true;
      this.#unacked = 0; // the positions acknowledge
      this.#hello = Math.max(++this.#hello, Date.now()); // past other pages'
      return { t: "hello", ...this.#session, n: this.#hello, auth, via, topics: this.positions };
    };
    const post = async (/** @type {object} */ frame) => {
      const answer = await fetch(this.#url.replace("ws", "http"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(frame),
        signal: abort.signal,
      });
      if (answer.ok) return answer;
      throw Object.assign(new Error("HTTP status " + answer.status), { code: STATUS[answer.status - 400] });
    };

    if (!via) this.#tried = Date.now();
    if (beside) this.#beside = link;
    else {
      this.#use(link);
      this.#become({ status: "connecting" });
    }
    try {
      if (getToken) auth = await getToken();
      if (link !== this.#link && link !== this.#beside) return;
      if (!via) {
        /** @type {WebSocket} */
        const ws = new WebSocket(this.#url, SUBPROTOCOL);
        link.send = (frame) => ws.send(JSON.stringify(frame));
        link.close = () => ws.close();
        ws.addEventListener("open", () => {
          if (ws.protocol !== SUBPROTOCOL) return end("the server does not speak " + SUBPROTOCOL, 1002);
          link.send(hello());
          if (link === this.#link) this.#watch(OPENING);
        });
        ws.addEventListener("message", (e) => {
          try {
            hear(JSON.parse(e.data));
          } catch (e) {
            end(e);
          }
        });
        ws.addEventListener("close", (e) => end(e.reason, e.code));
        return;
      }

      /** @type {object[]} */
      const out = [];
      let turn = Promise.resolve(); // one post at a time keeps the order
      link.send = (frame) => {
        out.push(frame);
        turn = turn
          .then(async () => {
            const frames = [];
            while (out[0] && size([...frames, out[0]]) < this.#limit) frames.push(out.shift());
            if (!frames[0]) return;
            const answer = await post({ t: "post", ...this.#session, frames });
            for (const f of await answer.json()) if (link === this.#link) this.#handle(f);
            // The network is alive, not necessarily the stream.
            if (link === this.#link) this.#watch(this.#heard + this.#timeout - Date.now());
          })
          .catch(end);
      };
      this.#watch(via === "stream" ? PROBE : TIMEOUT);
      while (link === this.#link) {
        const answer = await post(hello());
        if (via === "poll") {
          for (const f of await answer.json()) hear(f);
          if (this.#beside?.hello) return this.#adopt(); // or this takes it over
          if (getToken) auth = await getToken();
          continue;
        }
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (let read; !(read = await reader.read()).done; ) {
          const lines = read.value.split("\n");
          lines[0] = rest + lines[0];
          rest = lines.pop();
          for (const line of lines) if (line.startsWith("data:")) hear(JSON.parse(line.slice(5)));
        }
        end("the stream has ended");
      }
    } catch (e) {
      end(e);
    }
  }

  /** Gives up if nothing is heard. */
  #watch(/** @type {number} */ ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost("silent"), ms);
  }

  /** Asks for an answer, soon. */
  #probe() {
    if (!this.#live) return;
    this.#say({ t: "ping", ts: Date.now() });
    this.#watch(PROBE);
  }

  #handle(/** @type {any} */ f) {
    const { s: topic, o: offset = 0, p: from = 0, d: data, reason } = f;
    const at = this.#positions.get(topic);
    const position = { epoch: f.e ?? at?.epoch, offset };
    if (!this.#live && !["welcome", "bye", "close"].includes(f.t)) throw new Error(f.t + " before the welcome");
    switch (f.t) {
      case "welcome":
        return this.#welcome(f);
      case "msg":
        if (!at || from > at.offset) throw new Error("a message is missing");
        if (offset > at.offset) this.#move("message", { topic, position, data });
        return; // else seen
      case "snap":
        return this.#move("snapshot", { topic, position, data });
      case "gap":
        if (at && at.epoch === f.e && from <= offset && offset <= at.offset) return; // old
        return this.#move("gap", { topic, from, position, reason });
      case "ping":
        for (const [topic, offset] of Object.entries(f.pos ?? {})) {
          const at = this.#positions.get(topic);
          if (at && offset > at.offset) this.#positions.set(topic, { epoch: at.epoch, offset });
        }
        return this.#say({ t: "pong", ts: f.ts });
      case "done":
        return this.#answered(f);
      case "bye":
        this.#delay = f.delay;
        return this.#watch(PROBE); // the close is next
      case "close":
        this.#lost(reason, f.code);
    }
  }

  /** Sends a frame, with what this session's inbox has brought. */
  #say(/** @type {object} */ frame) {
    const at = this.#positions.get(INBOX);
    const pos = this.#unacked && at?.epoch === this.#session.session && { [INBOX]: at?.offset };
    this.#unacked = 0;
    this.#link?.send(pos ? { ...frame, pos } : frame);
  }

  /** Sends what is new to this connection and within the server's window. */
  #flush() {
    for (const asked of [...this.#asked]) {
      if (!this.#live) return;
      const { frame } = asked;
      const n = frame.n || this.#number + 1;
      if (n >= (this.#asked[0].frame.n || n) + this.#window) return;
      if (asked.link === this.#link) continue;
      if (size(frame) > this.#limit - 64) {
        this.#asked.splice(this.#asked.indexOf(asked), 1);
        asked.reject(new Error("larger than the server takes"));
        continue;
      }
      asked.link = this.#link;
      this.#number = Math.max(this.#number, (frame.n = n));
      this.#say(frame);
    }
  }

  #answered(/** @type {any} */ { n, d = null, refused, error }) {
    const i = this.#asked.findIndex((asked) => asked.frame.n === n);
    if (i < 0) return; // a repeated answer
    const [{ resolve, reject }] = this.#asked.splice(i, 1);
    if (refused) reject(Object.assign(new Error(error || refused), { refused }));
    else resolve(d);
    this.#flush();
  }

  #welcome(/** @type {any} */ f) {
    this.#session = { session: f.session, token: f.token };
    for (const [topic, { epoch, offset, resumed }] of Object.entries(f.topics ?? {})) {
      // Others are there already, or further since they said hello.
      if (resumed && !this.#positions.get(topic)) this.#positions.set(topic, { epoch, offset });
    }
    const b = f.backoff ?? this.#backoff;
    const same = JSON.stringify(b) === JSON.stringify(this.#backoff);
    if (!same && b.start > 0 && b.factor >= 1 && b.max >= b.start) {
      this.#backoff = b;
      this.#wait = b.start;
    }
    this.#timeout = f.timeout || TIMEOUT;
    this.#window = f.window || 64;
    this.#limit = f.limit || 65536;
    this.#live = true;
    this.#watch(this.#timeout);
    this.#via = this.#link?.via;
    this.#become({ status: "live", denied: f.denied ?? [], via: this.#via });
    this.#flush();
  }

  /** The WebSocket beside takes over. */
  #adopt() {
    const link = this.#beside;
    this.#beside = undefined;
    this.#drop();
    this.#use(link);
  }

  #use(/** @type {Link | undefined} */ link) {
    this.#link = link;
    this.#began = Date.now();
    this.#delay = 0;
    this.#watch(OPENING);
  }

  /** Hands something over; the position is behind it already. */
  #move(/** @type {string} */ type, /** @type {any} */ detail) {
    this.#positions.set(detail.topic, detail.position);
    if (detail.topic === INBOX && ++this.#unacked === 1) setTimeout(() => this.#ack(1), ACK);
    this.#tell(type, detail);
    this.#ack(32);
  }

  #ack(/** @type {number} */ least) {
    if (this.#live && this.#unacked >= least) this.#say({ t: "ack" });
  }

  /** The connection has ended, or is given up. */
  #lost(/** @type {string} */ reason, /** @type {number} */ code = 0) {
    reason ||= "closed with code " + code;
    const { fetch = globalThis.fetch, getToken } = this.#options;
    const final = FINAL.includes(code) || (code === UNAUTHORIZED && !getToken);
    if (this.#beside?.hello && !final) return this.#adopt();
    const lasted = Date.now() - this.#began;
    const was = this.#link?.via;
    const live = this.#live;
    this.#drop();
    if (final) {
      this.#stop({ status: "refused", reason, code });
      return this.#tell("refused", { reason, code });
    }
    if (code === TAKEN_OVER) this.#session = {};
    if (!live) {
      this.#via = undefined;
      // A code from 4000 on has come through: the way is good.
      if (fetch && !this.#delay && code < 4000) {
        if (!was) this.#via = "stream";
        if (was === "stream" && lasted >= PROBE) this.#via = "poll";
        if (this.#via) return void this.#dial(this.#via);
      }
    } else if (lasted >= STABLE) this.#wait = this.#backoff.start;
    // Full jitter: not all come back together.
    const wait = this.#delay || Math.ceil(Math.random() * this.#wait);
    this.#wait = Math.min(this.#wait * this.#backoff.factor, this.#backoff.max);
    this.#timer = setTimeout(() => this.#dial(this.#via), wait);
    this.#become({ status: "waiting", retryAt: Date.now() + wait, reason });
  }

  /** Lets go of the connection, whose close may never come. */
  #drop() {
    const links = [this.#link, this.#beside];
    clearTimeout(this.#timer);
    this.#link = this.#beside = undefined;
    this.#live = false;
    for (const link of links) link?.close();
  }

  #stop(/** @type {State} */ state) {
    this.#drop();
    this.#listening?.abort();
    this.#listening = undefined;
    for (const { reject } of this.#asked.splice(0)) reject(new Error("ended before the answer"));
    this.#become(state);
  }

  /** A page that is frozen or in the browser's cache has no connection. */
  #pause() {
    this.#drop();
    this.#become({ status: "waiting", reason: "hidden" });
  }

  /**
   * Keeps what the tab's next page needs, only while no page is there: a
   * duplicate of the tab must not get the same session.
   */
  #leave() {
    this.#pause();
    const { storage, key = "reliablews" } = this.#options;
    try {
      storage?.setItem(key, JSON.stringify({ ...this.#session, positions: this.positions }));
    } catch {} // full, or not allowed
  }

  /** @returns {any} what #leave has kept */
  #take() {
    const { storage, key = "reliablews" } = this.#options;
    try {
      const kept = storage?.getItem(key);
      storage?.removeItem(key);
      return JSON.parse(kept || "{}");
    } catch {
      return {};
    }
  }

  #become(/** @type {State} */ state) {
    if (JSON.stringify(state) === JSON.stringify(this.#state)) return;
    this.#state = state;
    this.#tell("state", state);
  }

  #tell(/** @type {string} */ type, /** @type {object} */ detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
