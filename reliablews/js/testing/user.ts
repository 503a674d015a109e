// A program in TypeScript that uses the published package: tools/npm-pack
// compiles it, and each line marked as an error must be one.

import { Client, type Position, type State } from "@contestkit/reliablews";

const client = new Client("/ws", { topics: { feed: null, "@": "stored" }, storage: sessionStorage });
client.addEventListener("message", (e) => console.log(e.detail.topic.length, e.detail.data.anything));
client.addEventListener("gap", ({ detail }) => console.log(detail.from + detail.position.offset));
client.addEventListener("state", (e) => show(e.detail));
const show = (state: State) => state.status === "waiting" && console.log(state.retryAt ?? 0);
const at: Position | null = client.positions.feed;
client.send("say", { text: "hello" }).then((answer) => console.log(answer, at));

// @ts-expect-error: no such event
client.addEventListener("massage", () => {});
// @ts-expect-error: a gap has no data
client.addEventListener("gap", (e) => e.detail.data);
// @ts-expect-error: a position has two halves
new Client("/ws", { topics: { feed: { offset: 1 } } });
