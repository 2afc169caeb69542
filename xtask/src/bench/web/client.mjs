// Looks at a page that `quarry serve` serves, and prints what it measured as one line of JSON:
//   node client.mjs COMMAND '{"address": …}'
// Commands with a browser in them need QUARRY_NODE_MODULES and QUARRY_CHROMIUM.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import zlib from "node:zlib";

/** Longest wait for one thing, in milliseconds. */
const LONGEST = 120_000;

// Without a browser.

/** What Chromium says of itself when somebody types an address. */
const HEADERS = {
  accept: "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
  "accept-encoding": "gzip, deflate, br, zstd",
  "accept-language": "en-US,en;q=0.9",
  "sec-fetch-dest": "document",
  "sec-fetch-mode": "navigate",
  "sec-fetch-site": "none",
};

/** Makes a request and gives its answer when the head is there. */
function ask(origin, path, headers, options = {}) {
  const url = new URL(path, origin);
  const client = url.protocol === "https:" ? https : http;
  return new Promise((done, failed) => {
    const { body, ...rest } = options;
    const request = client.request(url, { headers, rejectUnauthorized: false, ...rest }, done);
    request.on("error", failed);
    request.end(body);
  });
}

/** The text of an answer in parts, as they come; `count` is told the bytes on the wire. */
async function* parts(answer, count = () => {}) {
  answer.on("data", (bytes) => count(bytes.length));
  // What was packed so far is unpacked at once, whether or not it is whole.
  const flush = { flush: zlib.constants.Z_SYNC_FLUSH };
  const coding = answer.headers["content-encoding"];
  const unpacked = {
    gzip: () => answer.pipe(zlib.createGunzip(flush)),
    br: () => answer.pipe(zlib.createBrotliDecompress()),
    undefined: () => answer,
  }[coding]();
  const decoder = new TextDecoder();
  for await (const bytes of unpacked) yield decoder.decode(bytes, { stream: true });
}

/** Signs in by a form, and gives the cookie. */
async function sign_in(origin, form) {
  const body = new URLSearchParams(form).toString();
  const headers = {
    ...HEADERS, origin, "sec-fetch-site": "same-origin",
    "content-type": "application/x-www-form-urlencoded",
  };
  const answer = await ask(origin, "/sign-in", headers, { method: "POST", body });
  answer.resume();
  const cookies = answer.headers["set-cookie"] ?? [];
  if (cookies.length === 0) throw new Error(`sign-in: ${answer.statusCode}`);
  return cookies.map((cookie) => cookie.split(";")[0]).join("; ");
}

/** Signs in by the address that the program printed. */
function as_owner(address) {
  const url = new URL(address);
  return sign_in(url.origin, { token: url.searchParams.get("token") });
}

/** A page as it comes: when its first row and its end are there, in seconds, and its bytes. */
async function read_page(origin, path, cookie, options = {}) {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const answer = await ask(origin, path, { ...HEADERS, cookie }, options);
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`);
  let bytes = 0;
  let first = null;
  let text = "";
  for await (const part of parts(answer, (more) => (bytes += more))) {
    text += part;
    // The template of a row is one too, and has no identity.
    if (first === null && /<tr class="row" data-id="[^"]/.test(text)) first = seconds();
  }
  const summary = /<p id="summary">(.*?)<\/p>/s.exec(text)?.[1].replace(/<[^>]*>/g, "");
  return { first, end: seconds(), bytes, rows: text.split('<tr class="row" data-id="').length - 2, summary, text };
}

/** Reads a page some times, over one sign-in. */
async function read({ address, path, times = 1 }) {
  const { origin } = new URL(address);
  const cookie = await as_owner(address);
  const all = [];
  for (let n = 0; n < times; n += 1) {
    const { text, ...rest } = await read_page(origin, path, cookie);
    all.push({ ...rest, lines: text.split("<tr").length - 2 });
  }
  return all;
}

/** Events of a stream, as they come. */
async function* events(answer) {
  let text = "";
  for await (const part of parts(answer)) {
    text += part;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const event of whole) {
      const name = /^event: (.*)$/m.exec(event)?.[1];
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (name !== undefined) yield { name, data: JSON.parse(data) };
    }
  }
}

/** A tail for some seconds, after some in which it comes to rest: what it shows and what it counts. */
async function tail({ address, path, settle, seconds }) {
  const { origin } = new URL(address);
  const cookie = await as_owner(address);
  const headers = { ...HEADERS, accept: "text/event-stream", cookie };
  const answer = await ask(origin, path, headers);
  if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode}`);
  let began = null;
  let end = null;
  let found = { rows: 0, skipped: 0, missed: 0, delays: [] };
  const start = performance.now();
  for await (const { name, data } of events(answer)) {
    const now = performance.now();
    if (began === null && now - start > settle * 1000) {
      // A second ends with what wasn't shown of it.
      if (name !== "skipped") continue;
      began = now;
      process.stdout.write("measuring\n");
      continue;
    }
    if (began === null) continue;
    end = now;
    if (name === "row") {
      found.rows += 1;
      found.delays.push(Date.now() - Date.parse(data.utc));
    } else if (name === "skipped") {
      found.skipped += data.events;
      if (now - began > seconds * 1000) break;
    } else if (name === "missed") found.missed += data.items;
  }
  const delays = found.delays.sort((a, b) => a - b);
  return {
    rows: found.rows, skipped: found.skipped, missed: found.missed,
    seconds: (end - began) / 1000,
    delay: (delays[Math.floor(delays.length * 0.95)] ?? 0) / 1000,
  };
}

/** Waits for a line on the standard input. */
function told() {
  const lines = createInterface({ input: process.stdin });
  return new Promise((done) => lines.once("line", () => done(lines.close())));
}

/**
 * Many people at once: some tail, the others read pages again and again. Says `signed in`, and goes on
 * when it is told to; says `holding` when all are at it, and ends when it is told to.
 */
async function viewers({ address, people, password, tails, readers, tail_paths, pages, pause }) {
  const { origin } = new URL(address);
  const cookies = [];
  for (const user of people) cookies.push(await sign_in(origin, { user, password }));
  process.stdout.write("signed in\n");
  await told();
  const of = (n) => cookies[n % cookies.length];
  let rows = 0;
  for (let n = 0; n < tails; n += 1) {
    const path = tail_paths[n % tail_paths.length];
    // A connection each, as browsers of different people have.
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const headers = { ...HEADERS, accept: "text/event-stream", cookie: of(n) };
    const answer = await ask(origin, path, headers, { agent });
    if (answer.statusCode !== 200) throw new Error(`tail ${n}: ${answer.statusCode}`);
    (async () => {
      for await (const { name } of events(answer)) rows += name === "row" ? 1 : 0;
    })();
  }
  const times = [];
  let is_over = false;
  const reader = async (n) => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    // They don't come all in one moment.
    await new Promise((done) => setTimeout(done, (n / readers) * pause * 1000));
    for (let round = 0; !is_over; round += 1) {
      const path = pages[(n + round) % pages.length];
      const page = await read_page(origin, path, of(n), { agent });
      times.push(page.end);
      await new Promise((done) => setTimeout(done, pause * 1000));
    }
  };
  const all = Promise.all(Array.from({ length: readers }, (_, n) => reader(n)));
  process.stdout.write("holding\n");
  await told();
  is_over = true;
  await all;
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)] ?? null;
  return { pages: times.length, rows, p50: at(0.5), p95: at(0.95) };
}

// With a browser.

function browser() {
  const modules = createRequire(join(process.env.QUARRY_NODE_MODULES, "/"));
  return modules("playwright-core").chromium.launch({
    executablePath: process.env.QUARRY_CHROMIUM,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
}

/** A browser that has signed in and looked at nothing else. */
async function fresh_page(chromium, address) {
  const { origin, hostname } = new URL(address);
  const cookies = (await as_owner(address)).split("; ").map((cookie) => {
    const [name, value] = cookie.split("=");
    return { name, value, domain: hostname, path: "/" };
  });
  const context = await chromium.newContext();
  context.setDefaultTimeout(LONGEST);
  await context.addCookies(cookies);
  return { page: await context.newPage(), origin };
}

/** A first visit: the bytes of everything that comes, and how many requests there are. */
async function first_visit({ address, path }) {
  const chromium = await browser();
  const { page, origin } = await fresh_page(chromium, address);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  const requests = [];
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  session.on("Network.requestWillBeSent", ({ request }) => requests.push(request.url));
  await page.goto(origin + path, { waitUntil: "load" });
  await page.locator("html[data-scripts=ready]").waitFor({ state: "attached" });
  await page.waitForLoadState("networkidle");
  const rows = await page.locator("#rows tr").count();
  await chromium.close();
  return { bytes, requests: requests.length, rows };
}

/** Servers asked by a page: when it has the first row, all that live, and the names of the dead. */
async function live({ address, path, living, dead }) {
  const chromium = await browser();
  const { page, origin } = await fresh_page(chromium, address);
  await page.addInitScript(({ living, dead }) => {
    const seen = (globalThis.seen = {});
    const look = () => {
      const now = performance.now() / 1000;
      if (document.querySelector("#rows tr, .rows tbody tr") !== null) seen.first ??= now;
      const line = document.querySelector("#sources")?.textContent ?? "";
      if (Number(/^[\d,]+/.exec(line)?.[0].replace(",", "")) >= living) seen.living ??= now;
      const troubles = document.querySelector(".troubles")?.textContent ?? "";
      if (dead.every((name) => troubles.includes(name))) seen.named ??= now;
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true });
  }, { living, dead });
  await page.goto(origin + path, { waitUntil: "commit" });
  await page.waitForFunction(() => globalThis.seen.named && globalThis.seen.living);
  const { first, living: all, named } = await page.evaluate(() => globalThis.seen);
  await chromium.close();
  return { first, living: all, named };
}

/** MiB that are a process's own, or its share of what it has with others. */
function proportional(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)[1]) / 1024;
}

/** A tab that tails: each minute its script's heap, its nodes and its process's memory, in MiB. */
async function tab({ address, path, minutes }) {
  const chromium = await browser();
  const { page, origin } = await fresh_page(chromium, address);
  const session = await page.context().newCDPSession(page);
  const whole = await chromium.newBrowserCDPSession();
  await session.send("Performance.enable");
  await page.goto(origin + path, { waitUntil: "load" });
  await page.locator(".state[data-state=live]").waitFor();
  const { processInfo } = await whole.send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  const found = [];
  for (let minute = 1; minute <= minutes; minute += 1) {
    await page.waitForTimeout(60_000);
    await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (name) => metrics.find((metric) => metric.name === name).value;
    const rows = await page.locator("#rows tr").count();
    const memory = Math.max(...renderers.map((pid) => {
      try {
        return proportional(pid);
      } catch {
        return 0;
      }
    }));
    const now = { minute, heap: of("JSHeapUsedSize") / (1 << 20), nodes: of("Nodes"), rows, memory };
    process.stdout.write(`${JSON.stringify(now)}\n`);
    found.push(now);
  }
  await chromium.close();
  return found;
}

const [command, words] = process.argv.slice(2);
const given = JSON.parse(words);
const COMMANDS = { first_visit, live, read, tail, tab, viewers };
process.stdout.write(`${JSON.stringify(await COMMANDS[command](given))}\n`);
process.exit(0);
