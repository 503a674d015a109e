// node follow.mjs ws://host/path '{"feed":null}' follows a hub and writes a line of
// JSON for each thing that it hears. Lines that it reads are messages to the
// server, ["name", data], or raw frames in a string.
import { createInterface } from "node:readline";
import { Client } from "./client.mjs";

const say = (...what) => console.log(JSON.stringify(what));
const [url, topics] = process.argv.slice(2);
const client = new Client(url, JSON.parse(topics), (kind, d) => {
  if (kind === "welcome") say(kind, d.session);
  else if (kind === "ping") say(kind, d);
  else if (kind === "end") say(kind, d.code, d.never);
  else if (kind === "gap") say(kind, d.s, d.epoch, d.offset, d.reason);
  else say(kind, d.s, d.epoch, d.offset, d.d);
});
createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const told = JSON.parse(line);
    if (typeof told === "string") return client.ws.send(told);
    const { d, refused } = await client.send(...told);
    say("answer", d, ...(refused ? [refused] : []));
  })
  .on("close", () => client.close());
