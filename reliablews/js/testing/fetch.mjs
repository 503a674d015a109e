// fetch as a test wants it: each request waits until the test answers it.

import { frame } from "./browser.mjs";

/** Lets promises and streams come to rest; the stopped clock does not move. */
export async function settle() {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
}

/** One request of the client, and the ways to answer it. */
class Request {
  aborted = false;
  #resolve;
  #reject;
  #stream;

  constructor(url, init, resolve, reject) {
    Object.assign(this, { url, init, body: frame(init.body) });
    this.#resolve = resolve;
    this.#reject = reject;
    init.signal.addEventListener("abort", () => {
      this.aborted = true;
      const error = new DOMException("aborted", "AbortError");
      reject(error);
      this.#stream?.error(error);
    });
  }
  /** No answer: the network is not there. */
  fail() {
    this.#reject(new TypeError("fetch failed"));
  }
  status(status) {
    this.#resolve(new Response("no", { status }));
  }
  /** The answer to a poll or a post. */
  frames(...frames) {
    this.#resolve(Response.json?.(frames) ?? new Response(JSON.stringify(frames)));
  }
  /** The answer to the hello of a stream: frames follow. */
  stream() {
    const body = new ReadableStream({ start: (stream) => void (this.#stream = stream) });
    this.#resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
  }
  receive(...frames) {
    for (const f of frames) this.receiveBytes(new TextEncoder().encode(`data: ${JSON.stringify(f)}\n\n`));
  }
  receiveBytes(bytes) {
    this.#stream.enqueue(bytes);
  }
  end() {
    this.#stream.close();
  }
}

/** A fetch, and the requests that it got. */
export function fakeFetch() {
  const requests = [];
  const fetch = (url, init) =>
    new Promise((resolve, reject) => requests.push(new Request(url, init, resolve, reject)));
  return {
    fetch,
    requests,
    get request() {
      return requests.at(-1);
    },
    /** What was asked for: hello or post. */
    get asked() {
      return requests.map((r) => r.body.t);
    },
  };
}
