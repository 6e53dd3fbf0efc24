// Clicks through the page of a running demonstration as a person would: the outage while it lasts and after it, then
// spike -> diamond -> waterfall -> log lines, for a slow trace and for one with an error.
//
//   node flow.mjs ADDRESS [SCREENSHOT]
//
// ADDRESS is that of a hub whose device goes dark and comes back within the next minutes (`lightship-lab demo`).
// CHROMIUM names the browser (/usr/bin/chromium). The exit status is 0 when everything held.
import assert from "node:assert/strict";
import { byId, diamonds, middle, open, until } from "./page.mjs";

const [address, screenshot] = process.argv.slice(2);
if (address === undefined) {
  console.error("usage: node flow.mjs ADDRESS [SCREENSHOT]");
  process.exit(2);
}
const OUTAGE_BEGINS_S = 90;
const OUTAGE_ENDS_S = 180;

/** The hub's own answer, to hold the page against. */
async function ask(path) {
  const response = await fetch(new URL(`api/v0/${path}`, address));
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
}

const bandsPerChart = (page, kind) =>
  Promise.all(
    ["rate", "errors", "latency"].map((chart) =>
      page
        .locator(
          `[data-testid="chart-${chart}"] [data-testid="coverage-band"][data-kind="${kind}"]`,
        )
        .count(),
    ),
  );

/** Guarantees: while the device is dark every chart is shaded, and the page says which device and since when. */
async function outageIsShown(page) {
  await until(
    "a band for the outage on all charts",
    OUTAGE_BEGINS_S,
    async () => (await bandsPerChart(page, "held")).every((count) => count > 0),
  );
  assert.match(
    await byId(page, "banner").innerText(),
    /1 of 1 device incomplete in this range: \S+ dark, data since [\d:]+ held/,
  );
  assert.match(
    await byId(page, "device", '[data-connected="false"]').innerText(),
    /dark since \d\d:\d\d:\d\d/,
  );
}

/** Guarantees: after the outage the band stays as a faint one, nothing is incomplete, and its tooltip tells from and to. */
async function lateIsShown(page) {
  await until(
    "the late band on all charts and no other one",
    OUTAGE_ENDS_S,
    async () => {
      const late = await bandsPerChart(page, "late");
      const other = await page
        .locator('[data-testid="coverage-band"]:not([data-kind="late"])')
        .count();
      return late.every((count) => count > 0) && other === 0;
    },
  );
  await until("the chip of what arrived late", 20, () =>
    byId(page, "late-chip").isVisible(),
  );
  assert.match(
    await byId(page, "late-chip").innerText(),
    /complete; .+ arrived late/,
  );
  assert.equal(await byId(page, "banner").count(), 0);
  const { x, y } = await middle(
    page
      .locator('[data-testid="chart-rate"] [data-testid="coverage-band"]')
      .first(),
  );
  await page.mouse.move(x, y);
  assert.match(
    await byId(page, "tooltip").innerText(),
    /was dark \d\d:\d\d:\d\d–\d\d:\d\d:\d\d, delivered late, complete/,
  );
}

/** Guarantees: no diamond that is drawn as a link leads nowhere (P5). */
async function noDeadLinks(page) {
  const stored = (await diamonds(page)).filter(
    (diamond) => diamond.state === "stored",
  );
  assert.ok(stored.length > 0, "no diamond of a stored trace");
  for (const { trace } of stored) await ask(`traces/${trace}`);
  return stored.length;
}

/** The span that the page should select, worked out from the hub's answer in another way than the page does it. */
function telling(trace) {
  const byId = new Map(trace.spans.map((span) => [span.span_id, span]));
  const depth = (span) =>
    byId.has(span.parent_id) ? 1 + depth(byId.get(span.parent_id)) : 0;
  const errors = trace.spans.filter((span) => span.status.code === "error");
  if (errors.length > 0)
    return errors.sort((a, b) => depth(b) - depth(a))[0].span_id;
  // The vessel's spans do all their work in leaves, one after the other.
  const leaves = trace.spans.filter(
    (span) => !trace.spans.some((other) => other.parent_id === span.span_id),
  );
  const length = (span) => BigInt(span.end) - BigInt(span.start);
  return leaves.sort((a, b) => (length(a) < length(b) ? 1 : -1))[0].span_id;
}

/** Guarantees: a click near a diamond opens the waterfall of its trace, at the span that tells most, with its log lines. */
async function flow(page, choose) {
  // The charts move on every few seconds: find it and click at once.
  const all = (await diamonds(page)).filter(
    (diamond) => diamond.state === "stored",
  );
  const [diamond] = choose(all);
  assert.ok(diamond, "no diamond of this sort");
  // Beside it where it stands alone, since nobody hits its middle; else in its middle.
  const isAlone = all.every(
    (other) =>
      other === diamond ||
      Math.hypot(other.x - diamond.x, other.y - diamond.y) > 20,
  );
  const offset = isAlone ? 7 : 0;
  await page.mouse.move(diamond.x + offset, diamond.y - offset);
  assert.ok(
    (await byId(page, "tooltip").innerText()).includes(diamond.trace),
    "the tooltip names another trace",
  );
  await page.mouse.click(diamond.x + offset, diamond.y - offset);

  const pane = byId(page, "trace-pane", `[data-trace="${diamond.trace}"]`);
  await pane.waitFor();
  assert.equal(
    (await byId(page, "trace-id").innerText()).trim(),
    diamond.trace,
  );
  assert.ok(
    page.url().includes(diamond.trace),
    "the open trace is not in the URL",
  );
  const trace = await ask(`traces/${diamond.trace}`);
  assert.equal(await byId(page, "span-row").count(), trace.spans.length);
  await until("the trace to be complete", 30, async () => {
    return (
      (await byId(page, "trace-completeness").innerText()).trim() ===
      "✓ complete"
    );
  });
  const selected = page.locator(
    '[data-testid="span-row"][aria-selected="true"]',
  );
  assert.equal(await selected.getAttribute("data-span"), telling(trace));
  if (diamond.isError)
    assert.equal(await selected.getAttribute("data-status"), "error");

  await byId(page, "tab-logs").click();
  await byId(page, "log-lines").waitFor();
  const lines = await pane
    .locator('[data-testid="log-line"]')
    .evaluateAll((all) => all.map((one) => one.dataset.trace));
  const { logs } = await ask(`logs?trace_id=${diamond.trace}`);
  assert.ok(lines.length > 0, "no log line");
  assert.equal(lines.length, logs.length);
  assert.ok(
    (await byId(page, "tab-logs").innerText()).includes(`(${logs.length})`),
    "the tab's count is another one",
  );
  assert.ok(
    lines.every((id) => id === diamond.trace),
    "a log line of another trace",
  );
  return {
    spans: trace.spans.length,
    lines: lines.length,
    value: diamond.value,
    trace: diamond.trace,
  };
}

/** Guarantees: what the pointer can do, the keyboard can do. */
async function keyboard(page) {
  await byId(page, "close-trace").click();
  await page.locator("body").click({ position: { x: 4, y: 890 } });
  await page.keyboard.press("E");
  await byId(page, "tooltip").waitFor();
  await page.keyboard.press("e");
  await page.keyboard.press("E");
  const text = await byId(page, "tooltip").innerText();
  const id = /[0-9a-f]{32}/.exec(text)?.[0];
  assert.ok(id, "the tooltip of the keyboard's diamond names no trace");
  await page.keyboard.press("Enter");
  await byId(page, "trace-pane", `[data-trace="${id}"]`).waitFor();
  const rows = page.locator('[data-testid="waterfall"] [role="tree"]');
  const before = await byId(page, "span-name").getAttribute("data-span");
  await rows.press("Home");
  await rows.press("ArrowDown");
  const first = await byId(page, "span-row").nth(1).getAttribute("data-span");
  assert.equal(await byId(page, "span-name").getAttribute("data-span"), first);
  await rows.press("Home");
  await rows.press("ArrowLeft");
  assert.equal(
    await byId(page, "span-row").count(),
    1,
    "the collapsed root shows its children",
  );
  await rows.press("ArrowRight");
  assert.ok((await byId(page, "span-row").count()) > 1 && before !== null);
}

/** Guarantees: dragging over a chart zooms all of them, a double click goes back, both in the URL. */
async function zoom(page) {
  const before = page.url();
  const box = await page
    .locator('[data-testid="chart-rate"] .u-over')
    .boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 30, { steps: 8 });
  await page.mouse.up();
  await byId(page, "range-custom").waitFor();
  assert.match(page.url(), /from=\d{19}&to=\d{19}/);
  await page.mouse.dblclick(box.x + box.width * 0.5, box.y + 30);
  await until(
    "the range before the zoom",
    5,
    async () => (await byId(page, "range-custom").count()) === 0,
  );
  assert.equal(page.url(), before);
}

/** Guarantees: the lists show what their filters ask for, and a log line leads to its trace. */
async function lists(page) {
  await byId(page, "errors-only").check();
  await until("only traces with errors", 10, async () => {
    const cells = await page
      .locator('[data-testid="trace-row"] td:nth-child(6)')
      .allInnerTexts();
    return cells.length > 0 && cells.every((text) => Number(text) > 0);
  });
  await byId(page, "errors-only").uncheck();
  await byId(page, "min-duration").fill("600ms");
  await until("only long traces", 10, async () => {
    const cells = await page
      .locator('[data-testid="trace-row"] td:nth-child(4)')
      .allInnerTexts();
    return (
      cells.length > 0 &&
      cells.every((text) => /\d s/.test(text) || Number.parseFloat(text) >= 599)
    );
  });
  await byId(page, "min-duration").fill("");

  await byId(page, "list-logs").click();
  await byId(page, "log-text").fill(
    "level>=info path exists | stats count by path | sort count desc",
  );
  const table = byId(page, "result-table");
  await table.waitFor();
  assert.deepEqual(await table.locator("th").allInnerTexts(), [
    "path",
    "count",
  ]);
  assert.ok((await table.locator("tbody tr").count()) > 1, "one path only");
  await byId(page, "log-text").fill("");
  await byId(page, "log-severity").selectOption("error");
  const line = page.locator('.lists [data-testid="log-line"]').first();
  await line.locator('[data-testid="to-trace"]').waitFor();
  const trace = await line.getAttribute("data-trace");
  assert.equal(
    await page.locator(".lists .line:not(.error):not(.fatal)").count(),
    0,
  );
  await line.locator('[data-testid="to-trace"]').click();
  await byId(page, "trace-pane", `[data-trace="${trace}"]`).waitFor();
  await byId(page, "list-traces").click();
}

/** Guarantees: a link carries everything: opened anew, the page shows the same trace, tab and filters. */
async function reload(page) {
  const trace = await byId(page, "trace-pane").getAttribute("data-trace");
  await page.reload();
  await byId(page, "trace-pane", `[data-trace="${trace}"]`).waitFor();
  assert.equal(
    await byId(page, "tab-logs").getAttribute("aria-selected"),
    "true",
  );
}

const slowest = (all) =>
  all.filter((one) => !one.isError).sort((a, b) => b.value - a.value);
const failed = (all) => all.filter((one) => one.isError).reverse();

const { browser, page, faults } = await open(
  `${address}#last=5m`,
  process.env.CHROMIUM ?? "/usr/bin/chromium",
);
let outcome = 1;
try {
  const step = async (name, run) => {
    const begin = Date.now();
    const result = await run();
    const seconds = ((Date.now() - begin) / 1_000).toFixed(1).padStart(6);
    console.log(
      `${seconds} s  ${name}${result === undefined ? "" : `  ${JSON.stringify(result)}`}`,
    );
  };
  await step("the outage is shaded while it lasts", () => outageIsShown(page));
  await step("what came late is shaded after it", () => lateIsShown(page));
  await step("a diamond of an error leads to its log lines", () =>
    flow(page, failed),
  );
  await step("the spike's diamond leads to its log lines", () =>
    flow(page, slowest),
  );
  if (screenshot !== undefined) await page.screenshot({ path: screenshot });
  await step("no diamond is a dead link", () => noDeadLinks(page));
  await step("the keyboard does the same", () => keyboard(page));
  await step("dragging zooms, a double click goes back", () => zoom(page));
  await step("lists are filtered and lead to traces", () => lists(page));
  await step("a link carries the state", () => reload(page));
  assert.deepEqual(faults, [], "the browser noted faults");
  console.log("browser: passed");
  outcome = 0;
} catch (error) {
  console.error(error);
  for (const fault of faults) console.error(`fault: ${fault}`);
  if (screenshot !== undefined)
    await page.screenshot({ path: screenshot }).catch(() => {});
  console.error(`browser: FAILED at ${page.url()}`);
} finally {
  await browser.close();
}
process.exit(outcome);
