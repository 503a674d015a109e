// @ts-check

// The browser's client of a reliablews hub. It keeps a connection, comes back
// whenever one ends, and hands over every message once and in order, or a
// snapshot, or a notice that there is a gap. PROTOCOL.md says what goes over
// the wire.
//
//   const client = new Client("/ws", { topics: { feed: { epoch, offset } } });
//   client.addEventListener("message", (e) => show(e.detail.data));
//   client.start();

/**
 * A place in a topic: the two halves belong together.
 * @typedef {{ epoch: string, offset: number }} Position
 *
 * "message": one message, once and in order. "snapshot": what stands for
 * everything up to its position.
 * @typedef {{ topic: string, position: Position, data: any }} Message
 *
 * "gap": the messages after `from` and up to `position` cannot be had any more.
 * `from` is 0 when the client was in another epoch. `reason` is "epoch",
 * "truncated", "ahead" or "slow".
 * @typedef {{ topic: string, from: number, position: Position, reason: string }} Gap
 *
 * "state": what the client is doing.
 * closed: not started, or closed by the page.
 * connecting: until the server's welcome.
 * live: `denied` are the topics that the server does not give.
 * waiting: to connect again at `retryAt`, in milliseconds as Date.now() counts;
 * without it, until the page is visible. `reason` says why it is not connected.
 * refused: the server does not want this client back; only start() tries again.
 * `code` is the close code. An event "refused" follows.
 * @typedef {{
 *   status: "closed" | "connecting" | "live" | "waiting" | "refused",
 *   denied?: string[], retryAt?: number, reason?: string, code?: number,
 * }} State
 *
 * @typedef {{
 *   message: CustomEvent<Message>, snapshot: CustomEvent<Message>,
 *   gap: CustomEvent<Gap>, state: CustomEvent<State>,
 *   refused: CustomEvent<{ reason: string, code: number }>,
 * }} Events
 *
 * @typedef {{
 *   addEventListener<K extends keyof Events>(type: K, listener: ((event: Events[K]) => void) | null,
 *     options?: boolean | AddEventListenerOptions): void,
 *   removeEventListener<K extends keyof Events>(type: K, listener: ((event: Events[K]) => void) | null,
 *     options?: boolean | EventListenerOptions): void,
 *   dispatchEvent(event: Event): boolean,
 * }} TypedTarget
 *
 * topics: where to begin in each: at a position; null, at a snapshot; "stored",
 * where the page that was in this tab before has ended, if `storage` knows.
 * WebSocket: default: the browser's.
 * storage: sessionStorage keeps the session and the positions while the page
 * is away. Default: nothing is kept.
 * key: of the entry in storage. Default: "reliablews".
 * @typedef {{
 *   topics: Record<string, Position | null | "stored">,
 *   WebSocket?: new (url: string, protocol: string) => any,
 *   storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">,
 *   key?: string,
 * }} Options
 */

const SUBPROTOCOL = "reliablews.v1";
const FINAL = [1002, 1003, 1008, 1009, 4000, 4003]; // close codes after which not to come back
const TAKEN_OVER = 4001;

// Milliseconds.
const OPENING = 10000; // for the handshake, then for the welcome
const PROBE = 5000; // for an answer when the connection may have died unseen
const STABLE = 10000; // a connection must last before the waits begin anew

const hidden = () => globalThis.document?.visibilityState === "hidden";

const Target = /** @type {new () => TypedTarget} */ (/** @type {unknown} */ (EventTarget));

export class Client extends Target {
  /** @type {string} */ #url;
  /** @type {Options} */ #options;
  /** @type {Map<string, Position | null>} */ #positions = new Map();
  /** @type {string | undefined} */ #session;
  /** @type {string | undefined} */ #token;
  /** @type {State} */ #state = { status: "closed" };
  /** @type {AbortController | undefined} */ #listening;
  /** @type {any} of the connection's watchdog, or until the next one */ #timer;
  #backoff = { start: 1000, factor: 2, max: 30000 };
  #wait = 1000; // the next one, before jitter

  // Of one connection.
  /** @type {WebSocket | undefined} */ #ws;
  #began = 0;
  #live = false;
  #timeout = 45000; // of silence
  #delay = 0; // from the server's goodbye

  /**
   * @param {string} url of the hub, such as "/ws"; http means ws, https wss
   * @param {Options} options
   */
  constructor(url, options) {
    super();
    const absolute = new URL(url, globalThis.location?.href);
    absolute.protocol = absolute.protocol.replace("http", "ws");
    this.#url = absolute.href;
    this.#options = options;
    const kept = this.#take();
    this.#session = kept?.session;
    this.#token = kept?.token;
    for (const [topic, at] of Object.entries(options.topics)) {
      this.#positions.set(topic, at === "stored" ? (kept?.positions?.[topic] ?? null) : at);
    }
  }

  /** What the client is doing, as the latest "state" event said. */
  get state() {
    return this.#state;
  }

  /**
   * Where the client is in each topic: at the last message or snapshot that was
   * handed over, null where there was none yet.
   * @returns {Record<string, Position | null>}
   */
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
    this.#dial();
  }

  /** Ends the connection. start() begins again at the same positions. */
  close() {
    this.#stop({ status: "closed" });
  }

  /** Does not wait any longer, or finds out at once if the connection is alive. */
  retryNow() {
    if (!this.#listening || hidden()) return;
    this.#take(); // back from the cache of pages: a duplicate of this tab must not find it
    if (this.#ws) this.#probe();
    else this.#dial();
  }

  #dial() {
    if (hidden()) return this.#become({ status: "waiting", reason: "hidden" });
    this.#began = Date.now();
    this.#live = false;
    this.#delay = 0;
    /** @type {WebSocket} */
    let ws;
    try {
      ws = new (this.#options.WebSocket ?? globalThis.WebSocket)(this.#url, SUBPROTOCOL);
    } catch (e) {
      return this.#lost(String(e)); // the page's security policy, for one
    }
    this.#ws = ws;
    // One that is given up may speak for a while: nobody listens any more.
    const on = (/** @type {keyof WebSocketEventMap} */ type, /** @type {(e: any) => void} */ f) =>
      ws.addEventListener(type, (e) => ws === this.#ws && f(e));
    on("open", () => {
      if (ws.protocol !== SUBPROTOCOL) return this.#lost("the server does not speak " + SUBPROTOCOL, 1002);
      const topics = this.positions;
      ws.send(JSON.stringify({ t: "hello", session: this.#session, token: this.#token, topics }));
      this.#watch(OPENING);
    });
    on("message", (e) => {
      this.#watch(this.#timeout);
      try {
        this.#handle(JSON.parse(e.data));
      } catch (e) {
        this.#lost(String(e));
      }
    });
    on("close", (e) => this.#lost(e.reason || "closed with code " + e.code, e.code));
    this.#watch(OPENING);
    this.#become({ status: "connecting" });
  }

  /** Gives the connection up when nothing is heard for a while. */
  #watch(/** @type {number} */ ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost("silent"), ms);
  }

  /** Asks for an answer, soon. */
  #probe() {
    if (!this.#live) return;
    this.#ws?.send(JSON.stringify({ t: "ping", ts: Date.now() }));
    this.#watch(PROBE);
  }

  #handle(/** @type {any} */ f) {
    const { s: topic, o: offset = 0, p: before = 0, d: data } = f;
    const at = this.#positions.get(topic);
    if (!this.#live && f.t !== "welcome" && f.t !== "bye") throw new Error(f.t + " before the welcome");
    switch (f.t) {
      case "welcome":
        return this.#welcome(f);
      case "msg":
        if (!at || before > at.offset) throw new Error("a message is missing");
        if (offset > at.offset) this.#move("message", topic, { epoch: at.epoch, offset }, { data });
        return; // else seen before
      case "snap":
        return this.#move("snapshot", topic, { epoch: f.e, offset }, { data });
      case "gap":
        return this.#move("gap", topic, { epoch: f.e, offset }, { from: before, reason: f.reason });
      case "ping":
        for (const [topic, offset] of Object.entries(f.pos ?? {})) {
          const at = this.#positions.get(topic);
          if (at && offset > at.offset) this.#positions.set(topic, { epoch: at.epoch, offset });
        }
        return this.#ws?.send(JSON.stringify({ t: "pong", ts: f.ts }));
      case "bye":
        this.#delay = f.delay;
        this.#watch(PROBE); // the close is next
    }
  }

  #welcome(/** @type {any} */ f) {
    this.#session = f.session;
    this.#token = f.token;
    for (const [topic, { epoch, offset, resumed }] of Object.entries(f.topics ?? {})) {
      // For one who is new to a topic without snapshots this is where it
      // begins; for others it is where they are.
      if (resumed) this.#positions.set(topic, { epoch, offset });
    }
    const was = this.#backoff;
    const b = f.backoff ?? was;
    const same = b.start === was.start && b.factor === was.factor && b.max === was.max;
    if (!same && b.start > 0 && b.factor >= 1 && b.max >= b.start) {
      this.#backoff = b;
      this.#wait = b.start;
    }
    this.#timeout = f.timeout || 45000;
    this.#live = true;
    this.#watch(this.#timeout);
    this.#become({ status: "live", denied: f.denied ?? [] });
  }

  /** Hands something over. The client's position is behind it already. */
  #move(
    /** @type {string} */ type,
    /** @type {string} */ topic,
    /** @type {Position} */ position,
    /** @type {object} */ rest,
  ) {
    this.#positions.set(topic, position);
    this.#tell(type, { topic, position, ...rest });
  }

  /** The connection has ended, or is given up. */
  #lost(/** @type {string} */ reason, code = 0) {
    const lasted = this.#live && Date.now() - this.#began >= STABLE;
    this.#drop();
    if (FINAL.includes(code)) {
      this.#stop({ status: "refused", reason, code });
      return this.#tell("refused", { reason, code });
    }
    if (code === TAKEN_OVER) this.#session = this.#token = undefined;
    if (lasted) this.#wait = this.#backoff.start;
    // Full jitter: clients that were cut off together do not come back
    // together. With a delay, the server has spread them itself.
    const wait = this.#delay || Math.ceil(Math.random() * this.#wait);
    this.#wait = Math.min(this.#wait * this.#backoff.factor, this.#backoff.max);
    this.#timer = setTimeout(() => this.#dial(), wait);
    this.#become({ status: "waiting", retryAt: Date.now() + wait, reason });
  }

  /** Lets go of the connection without waiting for it to close, which may never be. */
  #drop() {
    clearTimeout(this.#timer);
    const ws = this.#ws;
    this.#ws = undefined;
    this.#live = false;
    ws?.close();
  }

  #stop(/** @type {State} */ state) {
    this.#drop();
    this.#listening?.abort();
    this.#listening = undefined;
    this.#become(state);
  }

  /** A page that is frozen or in the browser's cache has no connection. */
  #pause() {
    this.#drop();
    this.#become({ status: "waiting", reason: "hidden" });
  }

  /**
   * Keeps what the next page in this tab needs. It is in storage only while no
   * page is there, so that a duplicated tab never gets the same session.
   */
  #leave() {
    this.#pause();
    const kept = { session: this.#session, token: this.#token, positions: this.positions };
    try {
      this.#options.storage?.setItem(this.#options.key ?? "reliablews", JSON.stringify(kept));
    } catch {} // full, or not allowed: it is a help, not a need
  }

  /** @returns {any} what #leave has kept; it is gone then */
  #take() {
    const { storage, key = "reliablews" } = this.#options;
    try {
      const kept = storage?.getItem(key);
      storage?.removeItem(key);
      return JSON.parse(kept ?? "null");
    } catch {
      return null;
    }
  }

  #become(/** @type {State} */ state) {
    this.#state = state;
    this.#tell("state", state);
  }

  #tell(/** @type {string} */ type, /** @type {object} */ detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
