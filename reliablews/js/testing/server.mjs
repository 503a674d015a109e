// A small server from PROTOCOL.md, without WebSockets: a topic "feed", one
// handler "say", sessions. It is what a page behind a bad proxy sees.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";

export class Server {
  sessions = new Map();
  published = [];
  said = []; // what the handler got
  hellos = [];
  buffering = false; // as behind a proxy that holds answers back until they end
  #http = createServer((req, res) => this.#serve(req, res));
  #waiting = new Set(); // of the connections

  async listen(port = 0) {
    this.#http.listen(port, "127.0.0.1");
    await once(this.#http, "listening");
    return this;
  }
  get port() {
    return this.#http.address().port;
  }
  get url() {
    return `http://127.0.0.1:${this.port}/ws`;
  }
  async close() {
    const closed = once(this.#http, "close");
    this.#http.close();
    this.#http.closeAllConnections();
    await closed;
  }
  /** Ends all streams, as a network does. */
  cut() {
    for (const { res } of this.#waiting) res.destroy();
  }
  publish(data) {
    this.published.push(data);
    for (const connection of [...this.#waiting]) this.#deliver(connection);
  }

  async #serve(req, res) {
    let body = "";
    for await (const chunk of req.setEncoding("utf8")) body += chunk;
    if (req.method !== "POST" || req.headers["content-type"] !== "application/json") return res.writeHead(400).end();
    const frame = JSON.parse(body);
    if (frame.t === "post") this.#post(frame, res);
    else this.#hello(frame, res);
  }

  #hello(frame, res) {
    this.hellos.push(frame);
    let session = this.sessions.get(frame.session);
    const known = session?.token === frame.token && session;
    if (!known) {
      session = { id: randomUUID(), token: randomUUID(), answers: new Map() };
      this.sessions.set(session.id, session);
    }
    const { offset = 0 } = frame.topics.feed ?? {};
    const frames = [
      {
        t: "welcome", session: session.id, token: session.token,
        topics: { feed: { epoch: "e1", offset, resumed: true } },
        heartbeat: 30000, timeout: 45000, window: 64,
        backoff: { start: 20, factor: 2, max: 100 },
      },
    ];
    const connection = { res, offset, frames, poll: frame.via === "poll" };
    const first = connection.poll && session.via !== "poll";
    session.via = frame.via;
    res.writeHead(200, { "Content-Type": connection.poll ? "application/json" : "text/event-stream" });
    res.on("close", () => this.#waiting.delete(connection));
    this.#waiting.add(connection);
    this.#deliver(connection, first);
  }

  #deliver(connection, atOnce = false) {
    const { res, frames, poll } = connection;
    for (; connection.offset < this.published.length; connection.offset++) {
      frames.push({ t: "msg", s: "feed", o: connection.offset + 1, p: connection.offset, d: this.published[connection.offset] });
    }
    if (!poll) {
      if (!this.buffering) for (const f of frames.splice(0)) res.write(`data: ${JSON.stringify(f)}\n\n`);
    } else if (atOnce || frames.length > 1) {
      res.end(JSON.stringify(frames));
      this.#waiting.delete(connection);
    }
  }

  #post({ session: id, token, frames }, res) {
    const session = this.sessions.get(id);
    if (session?.token !== token) return void res.writeHead(410).end();
    const out = [];
    for (const f of frames) {
      if (f.t === "ping") out.push({ t: "pong", ts: f.ts });
      if (f.t !== "send") continue;
      const key = `${f.c} ${f.n}`;
      if (!session.answers.has(key)) {
        this.said.push(f.d);
        session.answers.set(key, { t: "done", n: f.n, d: { heard: f.d } });
      }
      out.push(session.answers.get(key));
    }
    res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(out));
  }
}
