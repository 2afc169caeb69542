// Every page by itself: accessible, quiet, harmless, light, and working without scripts.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  as_owner, as_person, chromium, program, set_up, shot, signed_in, violations, visit,
} from "./page.mjs";

set_up();

/** Each page, and a state that it can be in. */
const PAGES = [
  ["fleet", "/"],
  ["server", "/server/stored1"],
  // Each kind of row is among 50 of them.
  ["events", "/events?on=stored1&n=50"],
  ["events-live", "/events?on=dc01&on=dead1"],
  ["events-none", "/events?on=stored1&id=1"],
  ["events-wrong", "/events?q=idd%3A4625"],
  ["tail", "/tail?on=dc01"],
  ["views", "/views"],
  ["status", "/status"],
  ["help", "/help"],
];

/** Goes to a page and waits until what comes in parts is there, and its scripts. A tail never ends. */
function open(page, path) {
  return visit(page, program.owner + path);
}

/** The address of an event that has markup in it. */
async function hostile_event(page) {
  await open(page, "/events?on=stored1");
  const link = page.locator("#rows tr", { hasText: "<script>" }).first().locator("td.time a");
  return link.getAttribute("href");
}

/** Looks that a page can have. */
const LOOKS = [
  ["light", { colorScheme: "light" }, 1280],
  ["dark", { colorScheme: "dark" }, 1280],
  ["light-360", { colorScheme: "light" }, 360],
  ["dark-360", { colorScheme: "dark" }, 360],
  ["forced", { colorScheme: null, forcedColors: "active" }, 1280],
];

/** What axe finds on a page in each look, of which each has its picture. */
async function found_in_looks(page, name) {
  const found = [];
  for (const [look, media, width] of LOOKS) {
    await page.emulateMedia(media);
    await page.setViewportSize({ width, height: 800 });
    await shot(page, `${name}-${look}`);
    for (const violation of await violations(page)) found.push({ name, look, ...violation });
  }
  await page.emulateMedia({ colorScheme: null, forcedColors: null });
  await page.setViewportSize({ width: 1280, height: 800 });
  return found;
}

test("axe finds nothing on any page, in light and dark and at 360 pixels", async () => {
  const { context, page } = await signed_in();
  const all = [...PAGES, ["event", await hostile_event(page)]];
  const found = [];
  for (const [name, path] of all) {
    await open(page, path);
    found.push(...await found_in_looks(page, name));
  }
  await context.close();
  // The form for accounts, and what only accounts have.
  const secured = await chromium.newContext({ ignoreHTTPSErrors: true });
  const of_ann = await secured.newPage();
  await of_ann.goto(`${program.accounts}/sign-in`);
  found.push(...await found_in_looks(of_ann, "sign-in"));
  await as_person(program, of_ann, "ann", "wrong");
  await of_ann.locator("[role=alert]").waitFor();
  found.push(...await found_in_looks(of_ann, "sign-in-wrong"));
  await as_person(program, of_ann, "ann");
  await of_ann.waitForURL((url) => url.pathname === "/");
  await visit(of_ann, `${program.accounts}/events?on=stored1&id=4625`);
  await visit(of_ann, `${program.accounts}/events?on=dc01&on=dead1&log=Security&since=8h`);
  await visit(of_ann, `${program.accounts}/status/audit`);
  assert.ok((await of_ann.locator("tbody tr").count()) >= 4, "the audit has what was done");
  found.push(...await found_in_looks(of_ann, "audit"));
  await visit(of_ann, `${program.accounts}/status`);
  found.push(...await found_in_looks(of_ann, "status-accounts"));
  await secured.close();
  assert.deepEqual(found, []);
});

test("at 200 and 400 percent nothing but a table scrolls sideways", async () => {
  const { context, page } = await signed_in();
  const wide = [];
  for (const [name, path] of [...PAGES, ["event", await hostile_event(page)]]) {
    await open(page, path);
    // 1280 pixels at so many percent are this many of CSS (WCAG 1.4.10).
    for (const [percent, width] of [[200, 640], [400, 320]]) {
      await page.setViewportSize({ width, height: 800 });
      await shot(page, `${name}-${percent}-percent`);
      const over = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) wide.push(`${name} at ${width}: ${over} pixels`);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  }
  await context.close();
  assert.deepEqual(wide, []);
});

test("no page makes a console error, a report, a dialog or a foreign request", async () => {
  const { context, page, faults } = await signed_in();
  for (const [name, path] of [...PAGES, ["event", await hostile_event(page)]]) {
    faults.length = 0;
    await open(page, path);
    await page.waitForTimeout(300);
    // A page that says that a word is wrong has status 400, which a console counts as an error.
    const real = faults.filter((fault) => !(name.endsWith("wrong") && fault.includes("400")));
    assert.deepEqual(real, [], name);
  }
  await context.close();
});

test("what events say is text: no markup, no direction, no control character gets out of its cell", async () => {
  const { context, page, faults } = await signed_in();
  await open(page, "/events?on=stored1&on=stored2&n=500");
  const seen = await page.evaluate(() => ({
    scripts: [...document.scripts].filter((script) => !script.src.includes("/assets/")).length,
    images: document.images.length,
    svgs: [...document.querySelectorAll("svg")].filter((svg) => !svg.dataset.from).length,
    links: [...document.links].filter((link) => new URL(link.href).origin !== location.origin).length,
    cells: [...document.querySelectorAll("#rows bdi")].map((cell) => cell.textContent).join(""),
    isolated: [...document.querySelectorAll("#rows bdi")]
      .every((cell) => getComputedStyle(cell).unicodeBidi.startsWith("isolate")),
  }));
  assert.deepEqual([seen.scripts, seen.images, seen.svgs, seen.links], [0, 0, 0, 0]);
  assert.ok(seen.cells.includes("<script>alert(1)</script>"));
  assert.ok(seen.isolated);
  // eslint-disable-next-line no-control-regex
  assert.doesNotMatch(seen.cells, /[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]/u);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a first visit to Events with 200 rows is at most 60 KB and five requests", async () => {
  const context = await chromium.newContext();
  const page = await context.newPage();
  await as_owner(program, page);
  const cookies = await context.cookies();
  await context.close();
  const fresh = await chromium.newContext();
  await fresh.addCookies(cookies);
  const first = await fresh.newPage();
  const session = await fresh.newCDPSession(first);
  await session.send("Network.enable");
  let bytes = 0;
  const requests = [];
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  session.on("Network.requestWillBeSent", ({ request }) => requests.push(request.url));
  await visit(first, `${program.owner}/events?on=stored1`);
  // Its scripts are there; so that what they ask for is counted whole.
  await first.waitForLoadState("networkidle");
  assert.equal(await first.locator("#rows tr").count(), 200);
  console.log(`# first visit: ${bytes} bytes, ${requests.length} requests`);
  assert.ok(bytes <= 60_000, `${bytes} bytes`);
  assert.ok(requests.length <= 5, requests.join("\n"));
  await fresh.close();
});

test("without scripts: sign in, filter, include, exclude, narrow, page, open, neighbours, export, sign out", async () => {
  const { context, page } = await signed_in({ javaScriptEnabled: false });
  const open = (page, path) => page.goto(program.owner + path, { waitUntil: "load" });
  await open(page, "/events?on=stored1");
  const rows = () => page.locator("#rows tr").count();
  // A page comes in parts, and a click is done when the first is there.
  const click = async (locator) => {
    await locator.click();
    await page.waitForLoadState("load");
  };
  assert.equal(await rows(), 200);
  // Filter by the box.
  await page.locator("#q").fill("on:stored1 id:4625");
  await click(page.getByRole("button", { name: "Search" }));
  assert.match(page.url(), /id=4625/);
  const ids = await page.locator("#rows td.id").allTextContents();
  assert.ok(ids.length > 0 && ids.every((id) => id === "4625"));
  // Include and exclude by a facet.
  const facet = page.locator(".facet li").first();
  await click(facet.locator("a").first());
  const included = page.url();
  assert.notEqual(included.indexOf("id=4625"), -1);
  await page.goBack({ waitUntil: "commit" });
  await click(page.locator(".facet a.not").first());
  assert.match(decodeURIComponent(page.url()), /!|not=/);
  // Narrow by a bar.
  await open(page, "/events?on=stored1");
  const bar = page.locator("figure.histogram svg a").last();
  const narrowed = await bar.getAttribute("href");
  await open(page, narrowed);
  assert.match(page.url(), /since=.*until=/);
  assert.ok((await rows()) > 0);
  // Page on and back.
  await open(page, "/events?on=stored1");
  const first = await page.locator("#rows tr").first().getAttribute("data-id");
  await click(page.locator("a[rel=next]"));
  const next = await page.locator("#rows tr").first().getAttribute("data-id");
  assert.notEqual(next, first);
  await click(page.locator("a[rel=prev]"));
  assert.equal(await page.locator("#rows tr").first().getAttribute("data-id"), first);
  // Open an event and its neighbours.
  await click(page.locator("#rows td.time a").nth(5));
  assert.match(page.url(), /\/event\?/);
  assert.equal(await page.locator("tr[aria-current=true]").count(), 1);
  // Export.
  await open(page, "/events?on=stored1&id=4625");
  const address = await page.locator(".export a", { hasText: "ndjson" }).getAttribute("href");
  const answer = await page.request.get(program.owner + address);
  const lines = (await answer.text()).trim().split("\n");
  assert.equal(answer.status(), 200);
  assert.ok(JSON.parse(lines.at(-1)).end, "a whole export ends with `end`");
  assert.equal(lines.length - 1, 400);
  // Sign out.
  const out = page.getByRole("button", { name: "Sign out" });
  await click(out);
  assert.match(page.url(), /\/sign-in/);
  await open(page, "/events");
  assert.match(page.url(), /\/sign-in/);
  await context.close();
});
