// Detection rules that stored events match: chips in their rows, the word `rule`, and its facet.

import assert from "node:assert/strict";
import { test } from "node:test";
import { program, ready, set_up, shot, signed_in, violations, visit } from "./page.mjs";

set_up();

/** The identifier of a rule of the program's. */
const DC_SYNC = "5e9a3a5c-0000-4000-8000-000000000001";
const COPIES = "Copies [1]*";
const LEVELS = ["informational", "low", "medium", "high", "critical"];

/** Every event of a question, out of its export. */
async function exported(page, query) {
  const address = `/api/v1/events?${query}&rows=all&format=ndjson`;
  const answer = await page.request.get(program.owner + address);
  assert.equal(answer.status(), 200, query);
  const lines = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.pop().end, "a whole export ends with `end`");
  return lines;
}

/** What a rule is called and asked for by. */
const name = ({ id, title }) => title || id;
const key = ({ id, title }) => id || title;

/** The chips of each row, by the row's record. */
async function chips(page) {
  const rows = await page.locator("#rows tr").evaluateAll((rows) => rows.map((row) => [
    Number(row.dataset.id.split(" ").at(-1)),
    [...row.querySelectorAll("a.rule")].map((chip) => [chip.textContent, chip.className]),
    row.querySelector(".rules .count")?.textContent ?? "",
  ]));
  return Object.fromEntries(rows.map(([record, shown, more]) => [record, { shown, more }]));
}

/** What the page says that there are of events. */
const summary = (page) => page.locator("#summary strong").textContent();

const exact = (events) => `${events.toLocaleString("en-US")} events, exact`;

test("a row has the rules that its event matches, the worst first, and how many more there are", async () => {
  const { context, page, faults } = await signed_in();
  await visit(page, `${program.owner}/events?on=stored2&n=200`);
  const shown = await chips(page);
  const events = await exported(page, "on=stored2");
  let marked = 0;
  for (const { log_record, rules = [] } of events.filter((event) => event.log_record in shown)) {
    const rank = ({ level }) => LEVELS.indexOf(level);
    const worst = rules.toSorted((a, b) => rank(b) - rank(a)).slice(0, 3);
    assert.deepEqual(shown[log_record], {
      shown: worst.map((rule) => [name(rule), `rule ${rule.level}`]),
      more: rules.length > 3 ? `+${rules.length - 3}` : "",
    }, String(log_record));
    marked += Number(rules.length > 0);
  }
  assert.equal(Object.keys(shown).length, 200);
  assert.ok(marked > 20 && marked < 100, String(marked));
  // A title is text, and doesn't make its row wider.
  const overflow = await page.evaluate(() => ({
    images: document.images.length,
    wide: [...document.querySelectorAll("a.rule")].filter((chip) => chip.offsetWidth > 400).length,
  }));
  assert.deepEqual(overflow, { images: 0, wide: 0 });
  assert.deepEqual(faults, []);
  await context.close();
});

test("a click on a chip asks for what matches the rule, and its word can be taken away again", async () => {
  const { context, page, faults } = await signed_in();
  for (const [title, word] of [["DC Sync", `rule:${DC_SYNC}`], [COPIES, null]]) {
    await visit(page, `${program.owner}/events?on=stored2&n=200`);
    const before = await summary(page);
    await page.locator("#rows a.rule", { hasText: title }).first().click();
    await page.waitForURL(/rule=/);
    await ready(page);
    const expected = (await exported(page, "on=stored2"))
      .filter(({ rules = [] }) => rules.some((rule) => rule.title === title));
    assert.ok(expected.length > 20);
    assert.equal(await summary(page), exact(expected.length));
    // The rule may be one of those for which a row has no room.
    const shown = await chips(page);
    assert.deepEqual(Object.keys(shown).map(Number).toSorted((a, b) => a - b),
      expected.map((event) => event.log_record).toSorted((a, b) => a - b).slice(-200));
    const pill = page.locator(".pills li", { hasText: "rule:" });
    if (word !== null) assert.ok((await pill.textContent()).startsWith(word));
    assert.equal(await page.locator("#q").inputValue(), `on:stored2 ${(await pill.locator("bdi").textContent())}`);
    await pill.locator("a").click();
    await page.waitForURL((url) => !url.search.includes("rule="));
    await ready(page);
    assert.equal(await summary(page), before);
  }
  assert.deepEqual(faults, []);
  await context.close();
});

test("the facet counts each rule's events, and asks for them or for all others", async () => {
  const { context, page, faults } = await signed_in();
  await visit(page, `${program.owner}/events?on=stored2`);
  const events = await exported(page, "on=stored2");
  const counts = {};
  for (const rule of events.flatMap(({ rules = [] }) => rules)) {
    counts[name(rule)] = (counts[name(rule)] ?? 0) + 1;
  }
  const facet = page.locator(".facet", { has: page.locator("summary", { hasText: "rule" }) });
  const said = await facet.locator("li").evaluateAll((items) => items.map((item) => [
    item.querySelector("bdi").textContent,
    Number(item.querySelector(".count").textContent.replaceAll(",", "")),
  ]));
  assert.deepEqual(Object.fromEntries(said), counts);
  assert.equal(said.length, 5);
  const item = () => facet.locator("li", { hasText: "DC Sync" });
  await item().locator("a:not(.not)").click();
  await page.waitForURL((url) => url.searchParams.get("rule") === DC_SYNC);
  await ready(page);
  assert.equal(await summary(page), exact(counts["DC Sync"]));
  await visit(page, `${program.owner}/events?on=stored2`);
  await item().locator("a.not").click();
  await page.waitForURL(/not=/);
  await ready(page);
  assert.equal(await summary(page), exact(events.length - counts["DC Sync"]));
  assert.equal(await item().count(), 0);
  assert.deepEqual(faults, []);
  await context.close();
});

test("the word takes globs, several rules and a minus, and is that of the API", async () => {
  const { context, page } = await signed_in();
  const events = await exported(page, "on=stored2");
  const matching = (test) => events.filter(({ rules = [] }) => test(rules.map(name), rules.map(key)));
  for (const [words, test] of [
    ["rule:*sync", (names) => names.includes("DC Sync")],
    ["rule:5E9A3A5C-*04", (_, keys) => keys.some((key) => key.endsWith("04"))],
    ["rule:*", (names) => names.length > 0],
    ["-rule:*", (names) => names.length === 0],
    ["rule:copies* -rule:*sync", (names) => names.includes(COPIES) && !names.includes("DC Sync")],
  ]) {
    await visit(page, `${program.owner}/events?on=stored2`);
    await page.locator("#q").fill(`on:stored2 ${words}`);
    await page.locator("#q").press("Enter");
    await page.waitForURL(/rule/);
    await ready(page);
    const expected = matching(test);
    assert.ok(expected.length > 0, words);
    assert.equal(await summary(page), exact(expected.length), words);
    const query = new URL(page.url()).search.slice(1);
    const records = (of) => of.map((event) => event.log_record);
    assert.deepEqual(records(await exported(page, query)), records(expected), words);
  }
  await context.close();
});

test("a server, whose events nobody tested, says that it can't be asked about rules", async () => {
  const { context, page } = await signed_in();
  await page.goto(`${program.owner}/events?on=dc01&rule=*`, { waitUntil: "load" });
  const said = page.locator("main", { hasText: "events aren't tested for rules" });
  await said.waitFor();
  assert.match(await said.textContent(), /from=stored/);
  assert.equal(await page.locator("#rows tr").count(), 0);
  // What was stored of it can be.
  await visit(page, `${program.owner}/events?on=both1&rule=*&from=stored`);
  assert.doesNotMatch(await page.locator("main").textContent(), /aren't tested/);
  await context.close();
});

test("an event's page lists all rules that it matches; axe finds nothing, in light and dark", async () => {
  const { context, page, faults } = await signed_in();
  const list = `${program.owner}/events?on=stored2&rule=*-000000000005&n=50`;
  await visit(page, list);
  const event = await page.locator("#rows td.time a").first().getAttribute("href");
  const found = [];
  for (const [name, url] of [["rules-events", list], ["rules-event", program.owner + event]]) {
    await visit(page, url);
    for (const [look, colorScheme, width] of [
      ["light", "light", 1280], ["dark", "dark", 1280], ["light-360", "light", 360], ["dark-360", "dark", 360],
    ]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      await shot(page, `${name}-${look}`);
      for (const violation of await violations(page)) found.push({ name, look, ...violation });
      const over = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) found.push({ name, look, over });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  }
  assert.deepEqual(found, []);
  const rules = page.getByRole("region", { name: "Detection rules" }).locator("li");
  assert.ok((await rules.count()) >= 4);
  assert.match(await rules.first().textContent(), /^<script>alert\(1\)<\/script>.*critical.*attack\.t1003\.006/s);
  await rules.first().locator("a.rule").click();
  await page.waitForURL((url) => url.searchParams.get("rule")?.endsWith("5") ?? false);
  await ready(page);
  assert.equal(new URL(page.url()).searchParams.get("on"), "stored2");
  assert.deepEqual(faults, []);
  await context.close();
});

test("a chip is reached and followed with the keyboard alone, and without scripts", async () => {
  const { context, page } = await signed_in({ javaScriptEnabled: false });
  await page.goto(`${program.owner}/events?on=stored2&n=50`, { waitUntil: "load" });
  const chip = page.locator("#rows a.rule").first();
  await chip.focus();
  const outline = await chip.evaluate((chip) => getComputedStyle(chip).outlineStyle).catch(() => "auto");
  assert.notEqual(outline, "none");
  await page.keyboard.press("Enter");
  await page.waitForURL(/rule=/);
  assert.match(await page.locator(".pills").textContent(), /rule:/);
  await context.close();
});
