import "./node18.mjs";

import { createHash, randomBytes } from "node:crypto";
import { request } from "node:http";

/**
 * NodeWebSocket is as much of a browser's WebSocket (ws:// only) as the client
 * needs, for Node versions without one. It is for tests.
 */
export class NodeWebSocket extends EventTarget {
  protocol = "";
  #socket;
  #closed = false;
  #input = Buffer.alloc(0);
  #code = 1006;
  #reason = "";

  constructor(url, protocol) {
    super();
    const key = randomBytes(16).toString("base64");
    const accept = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    const req = request(url.replace(/^ws/, "http"), {
      headers: {
        Connection: "Upgrade",
        Upgrade: "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": protocol,
      },
    });
    req.on("error", () => this.#end());
    req.on("response", (res) => (res.destroy(), this.#end())); // refused
    req.on("upgrade", (res, socket, head) => {
      this.#socket = socket;
      socket.on("error", () => {});
      socket.on("close", () => this.#end());
      if (this.#closed || res.headers["sec-websocket-accept"] !== accept) return socket.destroy();
      this.protocol = res.headers["sec-websocket-protocol"] ?? "";
      socket.on("data", (data) => this.#read(data));
      this.dispatchEvent(new Event("open"));
      this.#read(head);
    });
    req.end();
  }

  send(text) {
    this.#write(1, Buffer.from(text));
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#socket) {
      this.#write(8, Buffer.alloc(0));
      this.#socket.end();
    }
  }

  #write(opcode, payload) {
    const mask = randomBytes(4);
    const n = payload.length;
    const head = n < 126 ? Buffer.from([0x80 | opcode, 0x80 | n]) : Buffer.from([0x80 | opcode, 0xfe, n >> 8, n & 255]);
    this.#socket.write(Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]));
  }

  #read(data) {
    this.#input = Buffer.concat([this.#input, data]);
    for (;;) {
      const b = this.#input;
      if (b.length < 2) return;
      let n = b[1];
      let from = 2;
      if (n === 126) from = 4;
      if (n === 127) from = 10;
      if (b.length < from) return;
      if (n === 126) n = b.readUInt16BE(2);
      if (n === 127) n = Number(b.readBigUInt64BE(2));
      if (b.length < from + n) return;
      this.#input = b.subarray(from + n);
      this.#frame(b[0], b.subarray(from, from + n));
    }
  }

  #frame(first, payload) {
    if (first === 0x81) {
      this.dispatchEvent(Object.assign(new Event("message"), { data: payload.toString("utf8") }));
    } else if (first === 0x88) {
      this.#code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#reason = payload.subarray(2).toString("utf8");
      this.close();
    } else if (first === 0x89) {
      this.#write(10, payload);
    } else {
      this.#socket.destroy(); // the hub sends nothing else
    }
  }

  #end() {
    this.#closed = true;
    this.dispatchEvent(Object.assign(new Event("close"), { code: this.#code, reason: this.#reason }));
  }
}
