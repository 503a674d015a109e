// The npm package as its users get it, without a network. It has no types
// here: make npm adds them and compiles a program that uses them.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const missing = spawnSync("npm", ["--version"]).status === 0 ? false : "no npm";

test("the package can be installed and imported", { skip: missing }, (t) => {
  const dir = mkdtempSync(join(tmpdir(), "package-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const env = { ...process.env, npm_config_cache: join(dir, "cache"), npm_config_update_notifier: "false" };
  const npm = (...args) => execFileSync("npm", args, { cwd: dir, env, encoding: "utf8" });
  const here = fileURLToPath(new URL(".", import.meta.url));
  const [packed] = JSON.parse(npm("pack", "--json", here));
  assert.deepEqual(
    packed.files.map((f) => f.path).filter((path) => path !== "reliablews.d.ts").sort(),
    ["README.md", "package.json", "reliablews.js"],
  );

  writeFileSync(join(dir, "package.json"), '{ "private": true }');
  npm("install", "--offline", "--no-audit", "--no-fund", join(dir, packed.filename));
  const program = `
    import { Client } from "@contestkit/reliablews";
    console.log(new Client("ws://hall.test/ws", { topics: { feed: null } }).state.status);
  `;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: dir, encoding: "utf8" });
  assert.equal(out, "closed\n");
  assert.equal(
    readFileSync(join(dir, "node_modules/@contestkit/reliablews/reliablews.js"), "utf8"),
    readFileSync(join(here, "reliablews.js"), "utf8"),
  );
});
