// Subscribes to a hub and writes what it hears, a line of JSON each, until its
// input ends: node subscribe.mjs ws://host/path '{"topic":{"epoch":"e","offset":1}}'
//
// It is told more in lines of JSON: {"send":"name","data":1}, {"minutes":1} to
// move its clock, which it confirms. With --tokens it writes {"event":"token"} where a page would
// ask for one, and takes it from {"token":"credential"}.
import { createInterface } from "node:readline";

import { Client } from "../reliablews.js";
import { NodeWebSocket } from "./websocket.mjs";

const [url, topics, tokens] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
let bring;
const getToken = () => {
  say({ event: "token" });
  return new Promise((resolve) => (bring = resolve));
};
const client = new Client(url, {
  topics: JSON.parse(topics),
  WebSocket: NodeWebSocket,
  ...(tokens && { getToken }),
});
for (const event of ["message", "snapshot", "gap", "state"]) {
  client.addEventListener(event, (e) => say({ event, ...e.detail }));
}
client.start();

const now = Date.now;
let later = 0; // milliseconds
Date.now = () => now() + later;

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const told = JSON.parse(line);
    if (told.send) {
      client.send(told.send, told.data).then(
        (data) => say({ event: "answer", data }),
        (e) => say({ event: "answer", data: e.message, reason: e.refused ?? "not sent" }),
      );
    }
    if (told.minutes) {
      later += told.minutes * 60_000;
      say({ event: "clock" });
    }
    if (told.token) bring(told.token);
  })
  .on("close", () => client.close());
