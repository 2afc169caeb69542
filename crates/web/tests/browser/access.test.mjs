// Who gets in, what they see, and what others' pages can't do.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { as_owner, as_person, chromium, program, set_up, watched } from "./page.mjs";

set_up();

async function person(name) {
  const context = await chromium.newContext({ ignoreHTTPSErrors: true });
  const { page, faults } = await watched(context);
  await as_person(program, page, name);
  await page.waitForURL((url) => url.pathname !== "/sign-in");
  return { context, page, faults };
}

test("two people with different rights see different lists, counts, facets, tails and exports", async () => {
  const ann = await person("ann");
  const bob = await person("bob");
  const seen = async ({ page }, path) => {
    const answer = await page.request.get(program.accounts + path);
    return { status: answer.status(), text: await answer.text() };
  };
  const everything = await seen(ann, "/api/v1/events?on=stored1&on=stored2&rows=all&format=ndjson");
  const some = await seen(bob, "/api/v1/events?on=stored1&on=stored2&rows=all&format=ndjson");
  const events = (text) => text.trim().split("\n").map(JSON.parse).filter((line) => !line.end);
  assert.equal(events(everything.text).length, 2400);
  const of_bob = events(some.text);
  assert.ok(of_bob.length > 0 && of_bob.length < 2400);
  assert.ok(of_bob.every((event) => event.channel === "System"), some.text.slice(0, 500));
  // Counts, facets and histograms are of the same events and no others.
  for (const path of ["count", "histogram", "facets"]) {
    const { text } = await seen(bob, `/api/v1/${path}?on=stored1&on=stored2`);
    assert.doesNotMatch(text, /Security|stored2/, path);
  }
  const count = JSON.parse((await seen(bob, "/api/v1/count?on=stored1&on=stored2")).text);
  assert.equal(count.events ?? count.count, of_bob.length);
  // Pages, and addresses that are guessed.
  await bob.page.goto(`${program.accounts}/events?on=stored1&on=stored2`, { waitUntil: "load" });
  const page = await bob.page.locator("main").textContent();
  assert.doesNotMatch(page, /Security/);
  await ann.page.goto(`${program.accounts}/events?log=Security&on=stored1`, { waitUntil: "load" });
  const hidden = await ann.page.locator("#rows td.time a").first().getAttribute("href");
  const guessed = await seen(bob, hidden);
  assert.doesNotMatch(guessed.text, /svc-sql|TargetUserName/);
  const api = await seen(bob, hidden.replace("/event?", "/api/v1/event?"));
  assert.notEqual(api.status, 200);
  await ann.context.close();
  await bob.context.close();
});

test("an account that is disabled is signed out in mid-tail", async () => {
  const bob = await person("bob");
  await bob.page.goto(`${program.accounts}/tail?on=dc01`, { waitUntil: "load" });
  await bob.page.locator(".state[data-state=live]").waitFor();
  await program.tell("disable bob");
  await program.tell("pass 900");
  await bob.page.locator("#session-over").waitFor();
  await bob.context.close();
});

test("of fifty wrong passwords few are tried, and a known browser still gets in", async () => {
  const known = await person("ann");
  await known.page.goto(`${program.accounts}/help`);
  await known.page.getByRole("button", { name: "Sign out" }).click();
  const stranger = await chromium.newContext({ ignoreHTTPSErrors: true });
  const statuses = [];
  for (let n = 0; n < 50; n += 1) {
    const answer = await stranger.request.post(`${program.accounts}/sign-in`, {
      form: { user: "ann", password: `guess ${n}` },
      headers: { origin: program.accounts },
    });
    statuses.push(answer.status());
  }
  assert.deepEqual([...new Set(statuses)], [403, 429]);
  assert.equal(statuses.filter((status) => status === 403).length, 3);
  const page = await stranger.newPage();
  await as_person(program, page, "ann");
  await page.getByRole("alert").filter({ hasText: "too many wrong passwords" }).waitFor();
  await as_person(program, known.page, "ann");
  await known.page.waitForURL((url) => url.pathname !== "/sign-in");
  await stranger.close();
  await known.context.close();
});

test("a foreign page's form, image, frame and link change nothing and ask no server", async () => {
  const context = await chromium.newContext();
  const page = await context.newPage();
  await as_owner(program, page);
  const asked = await program.tell("queries");
  const target = program.owner;
  const foreign = createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<!doctype html><title>elsewhere</title>
      <img id="image" src="${target}/events?on=dc01">
      <iframe id="frame" src="${target}/events?on=dc01"></iframe>
      <form id="form" method="post" action="${target}/sign-out" target="out"><button>win</button></form>
      <iframe name="out"></iframe>
      <a id="link" href="${target}/events?on=dc01">look</a>`);
  });
  await new Promise((done) => foreign.listen(0, "127.0.0.1", done));
  const { port } = foreign.address();
  const evil = await context.newPage();
  try {
    // Another port of this machine is the same site to a browser, which then sends our cookie; another
    // name is another site.
    for (const host of ["127.0.0.1", "localhost"]) {
      await evil.goto(`http://${host}:${port}/`, { waitUntil: "load" });
      await evil.locator("#form button").click();
      await evil.waitForTimeout(500);
      assert.equal(await evil.evaluate(() => document.querySelector("#image").naturalWidth), 0);
      for (const frame of evil.frames().slice(1)) {
        assert.doesNotMatch(await frame.content(), /id="rows"|class="row"/);
      }
      assert.equal((await page.request.get(`${target}/session`)).status(), 204, "still signed in");
      await evil.locator("#link").click();
      await evil.getByText("Another site led here").waitFor();
      assert.equal(await program.tell("queries"), asked, "no server was asked");
    }
    await evil.getByRole("link", { name: /^Ask/ }).click();
    await evil.locator("#rows tr").first().waitFor();
    assert.ok((await program.tell("queries")) > asked, "by the button it is");
  } finally {
    foreign.closeAllConnections();
    foreign.close();
    await context.close();
  }
});
