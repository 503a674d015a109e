// What a page gives the client, as a test wants it: a clock that stands still,
// sockets that do what they are told, a document that can be hidden.

import "./node18.mjs";

/**
 * A clock that stands still until it is told to tick. It is not the one of
 * node:test, which Debian 12 does not have yet.
 * @param {import("node:test").TestContext} t
 * @param {number} now milliseconds since 1970
 */
function stoppedClock(t, now) {
  const timers = new Map();
  let last = 0;
  t.mock.method(Date, "now", () => now);
  t.mock.method(globalThis, "setTimeout", (f, ms = 0) => {
    timers.set(++last, { at: now + Math.max(1, ms), f });
    return last;
  });
  t.mock.method(globalThis, "clearTimeout", (id) => void timers.delete(id));
  return (ms) => {
    const end = now + ms;
    for (;;) {
      // The earliest, and of those at one time the one that was set first.
      const [id, timer] = [...timers].reduce((a, b) => (b[1].at < a[1].at ? b : a), [0, { at: Infinity, f: null }]);
      if (timer.at > end) break;
      timers.delete(id);
      now = timer.at;
      timer.f();
    }
    now = end;
  };
}

/** A frame of a client; tests of what a hello says do not count hellos. */
export function frame(text) {
  const { n, ...rest } = JSON.parse(text);
  return rest.t === "hello" ? rest : { ...rest, ...(n && { n }) };
}

/** A socket that never does anything by itself; not even close() ends it. */
class FakeWebSocket extends EventTarget {
  sent = [];
  opened = false;
  closing = false;

  constructor(url, protocol) {
    super();
    Object.assign(this, { url, protocol });
  }
  send(data) {
    if (!this.opened) throw new Error("InvalidStateError");
    this.sent.push(data);
  }
  close() {
    this.closing = true; // and hangs
  }

  get frames() {
    return this.sent.map(frame);
  }
  open() {
    this.opened = true;
    this.dispatchEvent(new Event("open"));
  }
  receive(...frames) {
    for (const f of frames) this.receiveText(JSON.stringify(f));
  }
  receiveText(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  end(code = 1006, reason = "") {
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }
}

/**
 * browser puts a window and a document into place until the test ends.
 * @param {import("node:test").TestContext} t
 */
export function browser(t) {
  const tick = stoppedClock(t, 1795543200000);
  const random = t.mock.method(Math, "random", () => 0.5);
  const window = new EventTarget();
  const document = new EventTarget();
  document.visibilityState = "visible";
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.document = document;
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.document;
  });
  const sockets = [];
  return {
    sockets,
    get socket() {
      return sockets.at(-1);
    },
    WebSocket: class extends FakeWebSocket {
      constructor(url, protocol) {
        super(url, protocol);
        sockets.push(this);
      }
    },
    tick,
    setRandom: (value) => random.mock.mockImplementation(() => value),
    window: (type) => window.dispatchEvent(new Event(type)),
    document: (type) => document.dispatchEvent(new Event(type)),
    show(visible) {
      document.visibilityState = visible ? "visible" : "hidden";
      document.dispatchEvent(new Event("visibilitychange"));
    },
  };
}

/** A Storage for what a tab keeps. */
export function tabStorage() {
  const items = new Map();
  return {
    items,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}
