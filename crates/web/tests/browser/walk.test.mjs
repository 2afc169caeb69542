// The walk that docs/first-look.md describes, on the demo's page: which servers had failed logons of
// svc-sql in the last hour, and from which addresses.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { browser, ready, shot, watched } from "./page.mjs";

/** The demo's servers that answer, and who tries passwords there. */
const SERVERS = ["dc01", "dc02", "dc04", "web01", "web02", "web03", "web04", "sql01", "sql02", "file01", "file02"];
const ADDRESSES = ["10.20.6.17", "10.20.6.203", "10.20.6.41", "10.20.6.88"];

/** Each value of a facet that is shown, and how many events have it. */
async function values(page, facet) {
  const counts = await page.locator(".facet").filter({ has: page.locator("summary", { hasText: facet }) })
    .locator("li:has(meter)").evaluateAll((rows) => rows.map((row) =>
      [row.querySelector("bdi").textContent, Number(row.querySelector(".count").textContent)]));
  return Object.fromEntries(counts);
}

test("a newcomer finds servers and addresses of failed logons in the demo with three clicks", async () => {
  const home = mkdtempSync(join(tmpdir(), "quarry-walk-"));
  const demo = spawn(join(process.env.QUARRY_PROGRAMS, "quarry"), ["demo", "--web"], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, HOME: home },
  });
  const chromium = await browser();
  try {
    const printed = createInterface({ input: demo.stdout })[Symbol.asyncIterator]();
    const { page, faults } = await watched(await chromium.newContext());
    // 1: the address that is printed.
    await page.goto((await printed.next()).value, { waitUntil: "commit" });
    await page.waitForURL((url) => url.pathname !== "/sign-in");
    // 2: Events. The question is typed, and Enter asks it.
    await page.getByRole("link", { name: "Events", exact: true }).click();
    await page.waitForURL(/\/events/);
    await ready(page);
    await page.keyboard.press("/");
    await page.keyboard.type("on:@all log:Security id:4625 data.TargetUserName=svc-sql since:1h");
    await page.keyboard.press("Enter");
    await page.waitForURL(/TargetUserName/);
    await page.locator(".troubles", { hasText: "dc03" }).waitFor();
    // 3: the box under the counts. The field is typed, and Enter counts its values.
    await page.locator("#facet").click();
    await page.keyboard.press("End");
    await page.keyboard.type("data.IpAddress");
    await page.keyboard.press("Enter");
    await page.waitForURL(/facets=/);
    await page.locator(".facet", { hasText: "IpAddress" }).waitFor();
    await shot(page, "walk");
    const servers = await values(page, "server");
    // The name is spelled as events have it.
    const addresses = await values(page, /data\.IpAddress/);
    // All that answer, those beyond the ten that are shown at once too. Everyday events may be of the
    // account too, from elsewhere.
    assert.equal(Object.keys(servers).length, SERVERS.length);
    assert.ok(Object.entries(servers).every(([name, events]) => SERVERS.includes(name) && events >= 3),
      JSON.stringify(servers));
    assert.ok(ADDRESSES.every((address) => addresses[address] >= 6), JSON.stringify(addresses));
    assert.deepEqual(faults, []);
  } finally {
    await chromium.close();
    const ended = new Promise((done) => demo.once("exit", done));
    demo.kill("SIGTERM");
    await ended;
    rmSync(home, { recursive: true });
  }
});
