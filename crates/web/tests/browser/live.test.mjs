// What scripts add: rows that come in, the tail, keys, dragging, and coming back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { as_owner, chromium, program, ready, set_up, signed_in, travel, visit } from "./page.mjs";

set_up();

test("rows of living servers come in, newest first, and dead ones are named", async () => {
  const { context, page, faults } = await signed_in();
  await page.goto(`${program.owner}/events?on=dc01&on=dc02&on=web01&on=dead1`, { waitUntil: "load" });
  for (const name of ["dc01", "dc02", "web01"]) {
    await page.locator("#rows tr", { hasText: name }).first().waitFor();
  }
  const names = await page.locator("#rows td.on").allTextContents();
  assert.deepEqual([...new Set(names)].sort(), ["dc01", "dc02", "web01"]);
  await page.locator(".troubles", { hasText: "dead1" }).waitFor();
  // In order, newest first, each once.
  const rows = await page.locator("#rows tr").evaluateAll((rows) =>
    rows.map((row) => [row.dataset.id, row.querySelector("td.time a").title]));
  assert.equal(new Set(rows.map(([id]) => id)).size, rows.length);
  const times = rows.map(([, time]) => Date.parse(time));
  assert.ok(times.every((time, n) => n === 0 || time <= times[n - 1]), "newest first");
  assert.deepEqual(faults, []);
  await context.close();
});

test("a row that a script makes is the row that the server writes", async () => {
  const { context, page } = await signed_in();
  let compared = 0;
  let address = "/events?on=stored1&on=stored2&n=500";
  for (let round = 0; round < 4; round += 1) {
    await page.goto(program.owner + address, { waitUntil: "load" });
    const query = new URL(page.url()).search;
    const differ = await page.evaluate(async (query) => {
      const script = [...document.scripts].find((script) => script.src.includes("/assets/core."));
      const { make } = await import(script.src.replace("/core.", "/row."));
      const rows = new Map();
      await new Promise((done, failed) => {
        const stream = new EventSource(`/api/v1/ask${query}`);
        stream.addEventListener("row", (event) => {
          const row = JSON.parse(event.data);
          rows.set(row.identity, make({ ...row, late: false }));
        });
        stream.addEventListener("end", () => done(stream.close()));
        stream.addEventListener("error", failed);
      });
      const mine = [...document.querySelectorAll("#rows tr")];
      const differ = mine.filter((row) => !rows.get(row.dataset.id)?.isEqualNode(row));
      return { rows: mine.length, differ: differ.slice(0, 3).map((row) => row.outerHTML) };
    }, query);
    assert.deepEqual(differ.differ, []);
    compared += differ.rows;
    address = await page.locator("a[rel=next]").getAttribute("href");
  }
  assert.equal(compared, 2000);
  await context.close();
});

test("keys move, narrow and lead to the box, and keys that are turned off stay off", async () => {
  const { context, page } = await signed_in();
  await visit(page, `${program.owner}/events?on=stored1`);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const second = await page.locator("#rows td.time a").nth(1).getAttribute("href");
  const here = () => page.evaluate(() => document.activeElement.getAttribute("href"));
  assert.equal(await here(), second);
  const outline = await page.evaluate(() => {
    const style = getComputedStyle(document.activeElement);
    return `${style.outlineStyle} ${style.outlineWidth}`;
  });
  assert.doesNotMatch(outline, /none| 0px/);
  await page.keyboard.press("k");
  await page.keyboard.press("i");
  await page.waitForURL(/[?&]id=\d+/);
  await ready(page);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  // In a field they are letters.
  await page.keyboard.type(" j?");
  assert.match(await page.locator("#q").inputValue(), / j\?$/);
  await visit(page, `${program.owner}/help`);
  await page.getByRole("button", { name: /Keys are on/ }).click();
  await visit(page, `${program.owner}/events?on=stored1`);
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY");
  await context.close();
});

test("dragging over the histogram narrows the time, and so do keys", async () => {
  const { context, page } = await signed_in();
  await visit(page, `${program.owner}/events?on=stored1`);
  const svg = page.locator("figure.histogram svg");
  const whole = await svg.evaluate((svg) => [svg.dataset.from, svg.dataset.to].map(Date.parse));
  const box = await svg.boundingBox();
  await page.mouse.move(box.x + box.width * 0.25, box.y + box.height / 2);
  await page.locator("button.brush").waitFor({ state: "attached" });
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/since=.*until=/);
  const span = () => {
    const query = new URL(page.url()).searchParams;
    return [query.get("since"), query.get("until")].map(Date.parse);
  };
  const length = whole[1] - whole[0];
  const [from, to] = span();
  assert.ok(Math.abs((from - whole[0]) / length - 0.25) < 0.05, `${(from - whole[0]) / length}`);
  assert.ok(Math.abs((to - whole[0]) / length - 0.5) < 0.05, `${(to - whole[0]) / length}`);
  await visit(page, `${program.owner}/events?on=stored1`);
  await page.keyboard.press("+");
  await page.locator("button.brush:focus").waitFor({ state: "attached" });
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowLeft");
  await page.keyboard.press("Enter");
  await page.waitForURL(/since=.*until=/);
  assert.ok(span()[1] - span()[0] < length * 0.6);
  await context.close();
});

test("back and forward restore the list, the scroll and the focus; an address is the same elsewhere", async () => {
  const { context, page } = await signed_in();
  await page.goto(`${program.owner}/events?on=stored1`, { waitUntil: "load" });
  const visited = [];
  for (let step = 0; step < 5; step += 1) {
    const link = page.locator("#rows td.time a").nth(40 + 10 * step);
    await link.focus();
    await link.scrollIntoViewIfNeeded();
    const state = () => page.evaluate(() => ({
      url: location.href,
      scroll: Math.round(scrollY),
      focus: document.activeElement.closest("tr")?.dataset.id,
      first: document.querySelector("#rows tr").dataset.id,
    }));
    visited.push(await state());
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/event\?/);
    await travel(page, -1, visited.at(-1).url);
    await page.waitForFunction((id) => document.activeElement.closest("tr")?.dataset.id === id,
      visited.at(-1).focus);
    assert.deepEqual(await state(), visited.at(-1));
    await page.locator("a[rel=next]").click();
    await page.waitForLoadState("load");
  }
  for (const step of visited.reverse()) {
    await travel(page, -1, step.url);
    const first = await page.locator("#rows tr").first().getAttribute("data-id");
    assert.deepEqual([page.url(), first], [step.url, step.first]);
  }
  const copied = page.url();
  const cookies = await context.cookies();
  await context.close();
  const fresh = await chromium.newContext();
  await fresh.addCookies(cookies);
  const other = await fresh.newPage();
  await other.goto(copied, { waitUntil: "load" });
  assert.equal(await other.locator("#rows tr").first().getAttribute("data-id"), visited.at(-1).first);
  await fresh.close();
});

test("the tail shows what comes, holds 2,000 rows, counts while paused and goes on", async () => {
  const { context, page, faults } = await signed_in();
  await page.goto(`${program.owner}/tail?on=dc01`, { waitUntil: "load" });
  await page.locator(".state[data-state=live]").waitFor();
  const first = () => page.locator("#rows tr").first().getAttribute("data-id");
  const number = async () => Number((await first()).split(" ").at(-1));
  await page.locator("#rows tr").first().waitFor();
  const before = await number();
  await program.tell("append dc01 5");
  await page.waitForFunction((n) =>
    Number(document.querySelector("#rows tr").dataset.id.split(" ").at(-1)) === n + 5, before);
  await page.getByRole("button", { name: "Pause" }).click();
  await program.tell("append dc01 7");
  await page.getByRole("button", { name: /paused: 7 newer/ }).waitFor();
  assert.equal(await number(), before + 5);
  await page.getByRole("button", { name: /Resume/ }).click();
  assert.equal(await number(), before + 12);
  // Scrolling away pauses by itself.
  await page.evaluate(() => scrollTo(0, 400));
  await page.getByRole("button", { name: /paused/ }).waitFor();
  await page.getByRole("button", { name: /Resume/ }).click();
  // More than are shown in a second: each is counted.
  await program.tell("append dc01 3000");
  await page.locator("#notices", { hasText: "aren't shown" }).waitFor();
  await page.waitForTimeout(1500);
  const rows = await page.locator("#rows tr").count();
  assert.ok(rows > 100 && rows <= 2000, `${rows} rows`);
  assert.deepEqual(faults, []);
  await context.close();
});

test("a session that ends in mid-tail stops the stream; signing in goes on without loss", async () => {
  const { context, page } = await signed_in();
  await page.goto(`${program.owner}/tail?on=dc02`, { waitUntil: "load" });
  await page.locator(".state[data-state=live]").waitFor();
  await page.locator("#rows tr").first().waitFor();
  const newest = () => page.evaluate(() =>
    Number(document.querySelector("#rows tr").dataset.id.split(" ").at(-1)));
  const before = await newest();
  const count = await page.locator("#rows tr").count();
  // Another tab signs out.
  const other = await context.newPage();
  await other.goto(`${program.owner}/help`);
  await other.getByRole("button", { name: "Sign out" }).click();
  await page.locator("#session-over").waitFor();
  // What is shown stays, and nothing more comes.
  await program.tell("append dc02 4");
  assert.equal(await newest(), before);
  await as_owner(program, other);
  await page.waitForFunction((n) =>
    Number(document.querySelector("#rows tr").dataset.id.split(" ").at(-1)) === n, before + 4);
  assert.equal(await page.locator("#rows tr").count(), count + 4);
  assert.equal(await page.locator("#session-over").count(), 0);
  await context.close();
});

test("seven tabs tail over HTTP/1.1, and pages that nobody sees let go of their connection", async () => {
  const { context, page } = await signed_in();
  const tabs = [];
  for (let n = 0; n < 7; n += 1) {
    const tab = await context.newPage();
    // Six connections are all that a browser has for one server.
    await tab.goto(`${program.owner}/tail?on=dc01`, { waitUntil: "domcontentloaded" });
    if (n > 0) {
      // Headless pages are all seen; this one is told that it isn't any more.
      await tabs[n - 1].evaluate(() => {
        Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      });
    }
    tabs.push(tab);
  }
  const last = tabs.at(-1);
  await last.locator(".state[data-state=live]").waitFor();
  await page.goto(`${program.owner}/help`);
  await tabs[0].evaluate(() => {
    Object.defineProperty(document, "hidden", { get: () => false, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await tabs[0].locator(".state[data-state=live]").waitFor();
  await context.close();
});
