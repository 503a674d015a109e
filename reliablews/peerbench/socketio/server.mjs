// The Socket.IO peer: what serve.go and its controller do, for Node. Start it
// with --expose-gc.
import { createServer } from "node:http";
import { createServer as createControl } from "node:net";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const web = createServer();
const io = new Server(web, { transports: ["websocket"], connectionStateRecovery: {} });
io.on("connection", (socket) => socket.on("ask", (data, answer) => answer(data)));

const padding = "x".repeat(128 - 2 - 31);
let last = 0;

function publish(n) {
  const now = String(process.hrtime.bigint()).padStart(19, "0");
  for (let i = 0; i < n; i++) {
    last++;
    io.emit("message", `#${String(last).padStart(9, "0")} ${now} ${padding}`);
  }
}

const control = createControl((conn) => {
  conn.setNoDelay(true);
  conn.on("error", () => {});
  createInterface({ input: conn }).on("line", (line) => {
    if (line === "subscribers") {
      conn.write(`${io.of("/").sockets.size}\n`);
    } else if (line === "cpu") {
      const { user, system } = process.cpuUsage();
      conn.write(`${user + system}\n`);
    } else if (line === "tidy") {
      globalThis.gc();
      conn.write("0\n");
    } else {
      publish(Number(line.slice("publish ".length)));
    }
  });
});

process.stdin.on("end", () => process.exit()).resume();
const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", 4096, done));
await listen(web);
await listen(control);
const address = (server) => `127.0.0.1:${server.address().port}`;
console.log(JSON.stringify({ web: address(web), control: address(control) }));
