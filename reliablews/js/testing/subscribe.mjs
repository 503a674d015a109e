// Subscribes to a hub and writes what it hears, a line of JSON each, until its
// input ends: node subscribe.mjs ws://host/path '{"topic":{"epoch":"e","offset":1}}'
import { Client } from "../reliablews.js";
import { NodeWebSocket } from "./websocket.mjs";

const [url, topics] = process.argv.slice(2);
const client = new Client(url, { topics: JSON.parse(topics), WebSocket: NodeWebSocket });
for (const event of ["message", "snapshot", "gap", "state"]) {
  client.addEventListener(event, (e) => console.log(JSON.stringify({ event, ...e.detail })));
}
client.start();
process.stdin.on("end", () => client.close()).resume();
