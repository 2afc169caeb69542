// What people do with the page from end to end: counts that are right, the keyboard alone, stopping,
// events that are stored and on their server too, and commands that are copied.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { LONGEST, program, set_up, signed_in, visit } from "./page.mjs";

set_up();

async function json(page, path) {
  const answer = await page.request.get(program.owner + path);
  assert.equal(answer.status(), 200, path);
  return answer.json();
}

/** Every event of a question, out of its export. */
async function exported(page, query) {
  const address = `/api/v1/events?${query}${query === "" ? "" : "&"}rows=all&format=ndjson`;
  const answer = await page.request.get(program.owner + address);
  const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.pop().end, "a whole export ends with `end`");
  return lines;
}

/** How often each value is there. */
function tally(values) {
  const counts = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

test("counts, facets and bars are those of a plain scan of all events", async () => {
  const { context, page } = await signed_in();
  const base = "on=stored1&on=stored2";
  for (const words of ["", "&id=4625", "&not=id%3A4625", "&level=warning", "&grep=svc-sql"]) {
    const query = base + words;
    const events = await exported(page, query);
    assert.ok(events.length > 0, query);
    const count = await json(page, `/api/v1/count?${query}`);
    assert.deepEqual([count.events, count.outcome.exactness], [events.length, "exact"], query);
    const facets = await json(page, `/api/v1/facets?${query}`);
    const of = (name) => Object.fromEntries(
      facets.facets[name].values.map(({ value, events }) => [value, events]));
    assert.deepEqual(of("id"), tally(events.map((event) => event.event_id)), query);
    assert.deepEqual(of("log"), tally(events.map((event) => event.channel)), query);
    const histogram = await json(page, `/api/v1/histogram?${query}`);
    const width = histogram.seconds * 1000;
    const spans = tally(events.map((event) => Math.floor(Date.parse(event.time) / width) * width));
    const bars = Object.fromEntries(histogram.bars
      .map((bar) => [Date.parse(bar.time), bar.events.reduce((sum, events) => sum + events, 0)])
      .filter(([, events]) => events > 0));
    assert.deepEqual(bars, spans, query);
    // And what the page says.
    await visit(page, `${program.owner}/events?${query}`);
    const said = await page.locator("#summary strong").textContent();
    assert.equal(said, `${events.length.toLocaleString("en-US")} ${events.length === 1 ? "event" : "events"}, exact`);
  }
  await context.close();
});

test("where no event matches, each word has how many there would be without it", async () => {
  const { context, page } = await signed_in();
  await visit(page, `${program.owner}/events?on=stored1&id=4625&grep=nobody-has-this`);
  const items = await page.locator(".nothing li").allTextContents();
  assert.equal(items.length, 3);
  const expected = (await exported(page, "on=stored1&id=4625")).length;
  const without = items.find((item) => item.includes("nobody-has-this"));
  assert.match(without, new RegExp(`: ${expected} events, exact$`));
  assert.match(items.find((item) => item.includes("id:4625")), /: 0 events, exact$/);
  // Without `on` servers would have to be asked, which nobody has asked for.
  assert.match(items.find((item) => item.includes("on:stored1")), /^without on:stored1$/);
  await context.close();
});

test("an event that is stored and on its server is shown once; a log that was cleared is noticed", async () => {
  const { context, page, faults } = await signed_in();
  await visit(page, `${program.owner}/events?on=both1&n=500`);
  await page.waitForFunction(() => document.querySelector("button.stop") === null);
  const rows = await page.locator("#rows tr").evaluateAll((rows) =>
    rows.map((row) => Number(row.dataset.id.split(" ").at(-1))));
  const records = await program.tell("records both1");
  assert.deepEqual(rows.toSorted((a, b) => a - b), records.toSorted((a, b) => a - b));
  assert.deepEqual(faults, []);

  const address = await page.locator("#rows tr").last().locator("td.time a").getAttribute("href");
  await visit(page, program.owner + address);
  assert.equal(await page.locator(".notice").count(), 0);
  const title = await page.locator("h1").textContent();
  await program.tell("clear both1");
  await program.tell("append both1 3");
  await page.reload({ waitUntil: "load" });
  assert.match(await page.locator(".notice").textContent(), /cleared since/);
  assert.equal(await page.locator("h1").textContent(), title);
  await context.close();
});

test("Stop stops the wire", async () => {
  const { context, page } = await signed_in();
  // Its server takes its time with each call.
  await visit(page, `${program.owner}/events?on=web01&n=500`);
  const stop = page.getByRole("button", { name: "Stop" });
  await stop.click();
  await page.locator("#sources", { hasText: "stopped" }).waitFor();
  assert.equal(await stop.count(), 0);
  // What was under way then is done; after that there is nothing.
  await page.waitForTimeout(3000);
  const before = await program.tell("calls web01");
  await page.waitForTimeout(4000);
  assert.equal(await program.tell("calls web01"), before);
  await context.close();
});

test("the status page lists what is being answered, and stops it", async () => {
  const { context, page } = await signed_in();
  const tail = await context.newPage();
  await tail.goto(`${program.owner}/tail?on=dc01`, { waitUntil: "load" });
  await tail.locator(".state[data-state=live]").waitFor();
  await visit(page, `${program.owner}/status`);
  const row = page.locator("tr", { hasText: "on:dc01" });
  assert.equal(await row.count(), 1);
  assert.match(await row.textContent(), /tail/);
  assert.match(await page.locator("tr", { hasText: "(this one)" }).textContent(), /End/);
  await row.getByRole("button", { name: /^stop/ }).click();
  await page.waitForURL(/\/status/);
  await context.close();
});

test("a third question that asks servers waits, and says at which place", async () => {
  const { context, page } = await signed_in();
  // What an earlier test asked ends a moment after its page is gone.
  const running = page.locator("button[aria-label^='stop ']");
  for (;;) {
    await page.goto(`${program.owner}/status`);
    if ((await running.count()) === 0) break;
    await page.waitForTimeout(100);
  }
  const places = await page.evaluate(async () => {
    const ask = () => {
      const stream = new EventSource("/api/v1/ask?on=web01&n=500");
      const first = new Promise((done) => {
        stream.addEventListener("sources", () => done("asks"), { once: true });
        stream.addEventListener("waiting", (event) => done(JSON.parse(event.data).place), { once: true });
      });
      return { stream, first };
    };
    const one = ask(), other = ask();
    const begun = [await one.first, await other.first];
    const third = ask();
    const place = await third.first;
    const turn = new Promise((done) =>
      third.stream.addEventListener("sources", () => done("asks"), { once: true }));
    one.stream.close();
    const after = await turn;
    other.stream.close();
    third.stream.close();
    return [...begun, place, after];
  });
  assert.deepEqual(places, ["asks", "asks", 1, "asks"]);
  await context.close();
});

test("an address that is too long is kept under a short one, and is the same elsewhere", async () => {
  const { context, page } = await signed_in();
  const long = Array.from({ length: 18 }, (_, n) => `not=grep%3A${"x".repeat(400)}${n}`).join("&");
  await visit(page, `${program.owner}/events?on=stored1&${long}`);
  assert.match(page.url(), /\/v\/~[0-9a-f]{32}$/);
  const first = () => page.locator("#rows tr").first().getAttribute("data-id");
  const id = await first();
  assert.ok(id);
  await page.reload({ waitUntil: "load" });
  assert.equal(await first(), id);
  await page.locator("a[rel=next]").click();
  await page.waitForLoadState("load");
  assert.match(page.url(), /\/v\/~[0-9a-f]{32}$/);
  assert.notEqual(await first(), id);
  await context.close();
});

/** Presses Tab until an element has the focus, which is seen at each step. */
async function tab_to(page, selector) {
  for (let step = 0; step < 400; step += 1) {
    await page.keyboard.press("Tab");
    const { is_there, outline, name } = await page.evaluate((selector) => {
      const here = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(here);
      return {
        is_there: here.matches(selector),
        outline: here === document.body ? "body" : `${outlineStyle} ${outlineWidth}`,
        name: here.outerHTML.slice(0, 120),
      };
    }, selector);
    if (outline !== "body") assert.doesNotMatch(outline, /^none| 0px$/, `no outline: ${name}`);
    if (is_there) return;
  }
  assert.fail(`Tab doesn't lead to ${selector}`);
}

test("with the keyboard alone: filter, include, exclude, narrow, page, open, neighbours, ask live, export, sign out", async () => {
  const { context, page } = await signed_in();
  const enter = async (url) => {
    await page.keyboard.press("Enter");
    await page.waitForURL(url);
    await page.waitForLoadState("load");
  };
  await visit(page, `${program.owner}/`);
  await tab_to(page, "nav a[href='/events']");
  await enter(/\/events/);
  await tab_to(page, "#q");
  await page.keyboard.type("on:stored1");
  await enter(/on=stored1/);
  await tab_to(page, ".facet li a:not(.not)");
  await enter(/&(id|level|log|provider|computer)=|on=.*on=/);
  await visit(page, `${program.owner}/events?on=stored1`);
  await tab_to(page, ".facet li a.not");
  await enter(/%21|!|not=/);
  await visit(page, `${program.owner}/events?on=stored1`);
  await tab_to(page, "figure.histogram svg a");
  await enter(/since=.*until=/);
  await visit(page, `${program.owner}/events?on=stored1&n=50`);
  await tab_to(page, "#rows td.time a");
  await enter(/\/event\?/);
  await tab_to(page, ".near a");
  await enter(/\/event\?.*near=/);
  await visit(page, `${program.owner}/events?on=stored1&n=50`);
  await tab_to(page, "a[rel=next]");
  await enter(/after=/);
  await tab_to(page, ".export a");
  const download = page.waitForEvent("download");
  await page.keyboard.press("Enter");
  assert.match((await download).suggestedFilename(), /^events/);
  await visit(page, `${program.owner}/events?on=web01`);
  await tab_to(page, "button.stop");
  await page.keyboard.press("Enter");
  await page.locator("#sources", { hasText: "stopped" }).waitFor();
  await visit(page, `${program.owner}/tail?on=dc01`);
  await tab_to(page, "button.pause");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /paused/ }).waitFor();
  await tab_to(page, "form[action='/sign-out'] button, nav a[href='/help']");
  await visit(page, `${program.owner}/views`);
  await tab_to(page, "#name");
  await page.keyboard.type("by keys");
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "by keys" }).waitFor();
  await visit(page, `${program.owner}/help`);
  await tab_to(page, "form[action='/sign-out'] button");
  await enter(/\/sign-in/);
  await context.close();
});

test("a command that is copied runs in sh and gives the same records", async () => {
  const { context, page } = await signed_in();
  let compared = 0;
  for (const query of [
    "on=dc01&log=System&id=7036%2C7040&since=30d",
    "on=dc01&on=both1&log=Security&level=audit-failure",
    "on=dc02&log=*&data=TargetUserName%3Dsvc*&not=id%3A1%2C2",
    "on=dc01&log=Security&grep=it%27s+%22quoted%22+%24HOME+%60id%60",
  ]) {
    await visit(page, `${program.owner}/events?${query}`);
    const command = await page.locator(".copy code").first().textContent();
    assert.match(command, /^quarry scan /);
    const ran = spawnSync("sh", ["-c", `${command} -o jsonl -q`], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      timeout: LONGEST,
      env: {
        ...process.env,
        PATH: `${process.env.QUARRY_PROGRAMS}:${process.env.PATH}`,
        QUARRY_INVENTORY: program.inventory,
      },
    });
    // 1: no event matches.
    assert.ok([0, 1].includes(ran.status), `${command}: ${ran.status} ${ran.stderr}`);
    const key = (event) => [event.host ?? event.source, event.channel, event.record_id, event.time].join(" ");
    const printed = ran.stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const theirs = await exported(page, `${query}&from=live`);
    assert.deepEqual(printed.map(key).sort(), theirs.map(key).sort(), command);
    compared += printed.length;
  }
  assert.ok(compared > 100, `${compared} records`);
  await context.close();
});
