// What strangers found wrong on the page, by the number of the finding.
import { afterEach, describe, expect, it, vi } from "vitest";
import { api, Problem } from "../src/api/client";
import * as schema from "../src/api/schema";
import { value } from "../src/api/decode";
import { sorted } from "../src/layout/sort";
import { keysOf } from "../src/logs/LogLines";
import { isPlainText } from "../src/logs/table";
import { closedSteps } from "../src/state/steps";
import { ofDevice } from "../src/state/data";
import { formatPlace, HOME, parsePlace, PRESETS, problemsOf } from "../src/state/place";
import { DAY, stepFor } from "../src/time";
import { firstTab } from "../src/trace/SpanTabs";
import { buildTree, rowsOf } from "../src/trace/tree";
import type { LogLine, Red, Span, TraceSummary } from "../src/api/schema";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const line = (time: bigint, body: string): LogLine => ({
  time,
  observed: time,
  severity_number: 9,
  severity_text: "INFO",
  body,
  trace_id: null,
  span_id: null,
  service: "orders",
  device: "vessel-1",
  attributes: [],
  resource: [],
  scope: { name: "", version: "" },
});

const span = (span_id: string, parent_id: string | null, kind: string, service: string, start = 0n): Span => ({
  span_id,
  parent_id,
  name: `${kind} ${service}`,
  kind,
  service,
  start,
  end: start + 10n,
  status: { code: "unset", message: "" },
  attributes: [],
  events: [],
  links: [],
  scope: { name: "", version: "" },
  resource: [],
  trace_state: "",
  dropped: { attributes: 0, events: 0, links: 0 },
});

describe("u5: a hub that hangs", () => {
  /** Scenario: the hub takes the connection and says nothing. Guarantees: after its time it counts as not answering. */
  it("u5 does not answer after five seconds", async () => {
    const timeouts: number[] = [];
    vi.stubGlobal("AbortSignal", {
      timeout: (most: number) => {
        timeouts.push(most);
        return AbortSignal.abort(new DOMException("late", "TimeoutError"));
      },
      any: AbortSignal.any.bind(AbortSignal),
      abort: AbortSignal.abort.bind(AbortSignal),
    });
    vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
      throw init.signal?.reason;
    });
    const problem: unknown = await api.devices().catch((error: unknown) => error);
    expect(problem).toBeInstanceOf(Problem);
    expect((problem as Problem).status).toBe(0);
    expect((problem as Problem).message).toContain("within 5 s");
    expect(timeouts).toEqual([5_000]);
  });

  /** Scenario: the reader goes elsewhere while a question is under way. Guarantees: that is no problem of the hub. */
  it("u5 tells a hub that hangs from a reader who left", async () => {
    vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
      throw init.signal?.reason;
    });
    const left = AbortSignal.abort();
    const error: unknown = await api.devices(left).catch((error: unknown) => error);
    expect(error).not.toBeInstanceOf(Problem);
  });
});

describe("u15: lists and links", () => {
  /** Scenario: newer lines come before an open one; two lines are alike. Guarantees: each keeps its key. */
  it("u15 keeps the key of a line at the next refresh", () => {
    const before = [line(2n, "b"), line(1n, "a"), line(1n, "a")];
    const after = [line(3n, "c"), ...before];
    expect(keysOf(after).slice(1)).toEqual(keysOf(before));
    expect(new Set(keysOf(after)).size).toBe(4);
  });

  /** Scenario: links that were cut, misspelt, or made by a newer page. Guarantees: each part that is not read is told. */
  it("u15 tells what of a link cannot be read", () => {
    expect(problemsOf("")).toEqual([]);
    expect(problemsOf(formatPlace({ ...HOME, service: "a", device: "v", trace: "a".repeat(32), tab: "logs" }))).toEqual(
      [],
    );
    expect(problemsOf("#last=forever")).toEqual(["last=forever cannot be read"]);
    expect(problemsOf("#from=9&to=3").length).toBe(2);
    expect(problemsOf("#trace=xyz&servise=a&list=spans&severity=loud")).toEqual([
      "trace=xyz cannot be read",
      "nothing is called “servise”",
      "list=spans cannot be read",
      "severity=loud cannot be read",
    ]);
  });

  /** Scenario: the longest range. Guarantees: there are ranges of days, and their charts have a bounded number of steps. */
  it("u15 reaches back a month", () => {
    expect(PRESETS["30d"]).toBe(30n * DAY);
    expect(PRESETS["30d"] / stepFor(PRESETS["30d"])).toBeLessThanOrEqual(180n);
    expect(parsePlace("#last=7d").range).toEqual({ last: "7d" });
  });

  /** Scenario: a device whose name holds quotes. Guarantees: the filter means that device and nothing else. */
  it("u15 filters by device", () => {
    expect(ofDevice("")).toBe("");
    expect(ofDevice('a "b" \\c')).toBe('device="a \\"b\\" \\\\c"');
    expect(parsePlace("#device=vessel-1").device).toBe("vessel-1");
  });

  /** Scenario: words and filters. Guarantees: only what is nothing but words is looked for in bodies and attributes. */
  it("u15 knows words from filters", () => {
    for (const words of ["", "timeout", "connection refused", "order 77"]) expect(isPlainText(words), words).toBe(true);
    for (const filter of ["level>=warn", "a | stats count", '"a b"', "-noise", "a or b", "not x", "(a)"]) {
      expect(isPlainText(filter), filter).toBe(false);
    }
  });

  /** Scenario: traces ordered by length, by name, and back. Guarantees: equal ones stay in the hub's order. */
  it("u15 orders tables", () => {
    const trace = (root_name: string, duration_ns: bigint) => ({ root_name, duration_ns }) as TraceSummary;
    const rows = [trace("b", 5n), trace("a", 9n), trace("c", 5n)];
    const names = (column: "root_name" | "duration_ns", down: boolean) =>
      sorted(rows, { column, down }).map((row) => row.root_name);
    expect(names("duration_ns", true)).toEqual(["a", "b", "c"]);
    expect(names("duration_ns", false)).toEqual(["b", "c", "a"]);
    expect(names("root_name", false)).toEqual(["a", "b", "c"]);
  });
});

describe("u26: what is open", () => {
  /** Scenario: the last step is not over. Guarantees: it is not drawn; steps that are over are. */
  it("u26 drops the open step", () => {
    const red = (times: bigint[]): Red => ({
      step: 10n,
      times,
      rate: times.map(() => 1),
      errors: times.map(() => 0),
      p50: times.map(() => 1),
      p95: times.map(() => 1),
      p99: times.map(() => 1),
      completeness: { fraction: 1, complete: true, devices: [] },
    });
    const closed = closedSteps(red([0n, 10n, 20n]), 25n);
    expect([closed.times, closed.rate.length, closed.p99.length]).toEqual([[0n, 10n], 2, 2]);
    expect(closedSteps(red([0n, 10n]), 20n).times).toEqual([0n, 10n]);
  });

  /** Scenario: spans with attributes, with events only, with nothing but log lines. Guarantees: each opens on what it has. */
  it("u26 opens a span on its first tab with content", () => {
    const bare = span("a".repeat(16), null, "server", "orders");
    expect(firstTab(bare, 0)).toBe("attributes");
    expect(firstTab(bare, 3)).toBe("logs");
    expect(firstTab({ ...bare, events: [{ time: 1n, name: "x", attributes: [] }] }, 3)).toBe("events");
    expect(firstTab({ ...bare, attributes: [{ key: "a", value: 1 }] }, 3)).toBe("attributes");
    expect(firstTab({ ...bare, resource: [{ key: "a", value: 1 }] }, 0)).toBe("resource");
  });
});

describe("h6: spans that share an id", () => {
  /** Scenario: client and server of one id (Zipkin's B3), children of the server, two spans without an id. Guarantees: all
   * are in the tree, the server below the client, its children below it, and each row has a key of its own. */
  it("h6 shows client and server", () => {
    const [id, none] = ["b".repeat(16), "0".repeat(16)];
    const tree = buildTree([
      span(id, null, "client", "web"),
      span(id, null, "server", "orders", 1n),
      span("c".repeat(16), id, "internal", "orders", 2n),
      span(none, id, "internal", "orders", 3n),
      span(none, id, "internal", "orders", 4n),
    ]);
    const rows = rowsOf(tree, new Set());
    expect(rows.map((row) => [row.span.kind, row.depth])).toEqual([
      ["client", 0],
      ["server", 1],
      ["internal", 2],
      ["internal", 2],
      ["internal", 2],
    ]);
    expect(new Set(rows.map((row) => row.key)).size).toBe(5);
    const link = formatPlace({ ...HOME, trace: "a".repeat(32), span: `${id}~2` });
    expect(parsePlace(link).span).toBe(`${id}~2`);
  });
});

describe("h7 and u4: what the hub says", () => {
  /** Scenario: values that JSON numbers cannot hold. Guarantees: they are read, and nothing else is. */
  it("h7 reads exact texts of numbers", () => {
    expect(value("NaN", "v")).toBeNaN();
    expect(value("-Infinity", "v")).toBe(-Infinity);
    expect(value("9007199254740993", "v")).toBe(9007199254740992);
    expect(() => value("12 apples", "v")).toThrow("expected a number");
  });

  /** Scenario: devices that stopped, that are doubled, that were refused. Guarantees: the page reads them. */
  it("u4 reads the states of devices", () => {
    const device = {
      device: "v",
      epoch: "7",
      last_contact: "5",
      connected: false,
      contact: "stopped",
      settles_ns: "30000000000",
      two_agents: true,
      incomplete: [{ signal: "logs", state: "held_on_device", from: "1", to: "2", late: false }],
      clock_synchronised: true,
      lanes: [],
    };
    const refused = { device: null, address: "10.0.0.1", reason: "unauthorized", error: "no", count: 3, last: "9" };
    const read = schema.devices({ devices: [device], refused: [refused] }, "");
    expect([read.devices[0]?.contact, read.refused[0]?.count]).toEqual(["stopped", 3]);
    const interval = { from: "1", to: "2", state: "stopped", late: false };
    const coverage = { coverage: [{ device: "v", signal: "logs", intervals: [interval] }] };
    expect(schema.coverage(coverage, "").coverage[0]?.intervals[0]?.state).toBe("stopped");
  });
});
