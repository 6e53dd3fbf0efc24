import { describe, expect, it } from "vitest";
import type { Span } from "../src/api/schema";
import { buildTree, rowsOf, tellingSpan } from "../src/trace/tree";

function span(id: string, parent: string | null, start: number, end: number, more: Partial<Span> = {}): Span {
  return {
    span_id: id,
    parent_id: parent,
    name: id,
    kind: "internal",
    service: "s",
    start: BigInt(start),
    end: BigInt(end),
    status: { code: "unset", message: "" },
    attributes: [],
    events: [],
    links: [],
    scope: { name: "", version: "" },
    resource: [],
    trace_state: "",
    dropped: { attributes: 0, events: 0, links: 0 },
    ...more,
  };
}

const names = (spans: Span[], collapsed: string[] = []) =>
  rowsOf(buildTree(spans), new Set(collapsed)).map((node) => `${" ".repeat(node.depth)}${node.span.span_id}`);

const ERROR = { status: { code: "error", message: "no" } } as const;

describe("the tree", () => {
  /** Scenario: spans in another order than they ran, and one collapsed. Guarantees: rows stand in the order of time below their parent; what is collapsed is left out. */
  it("orders children by start, whatever the order they came in", () => {
    const spans = [span("c", "a", 60, 90), span("b2", "b", 20, 30), span("a", null, 0, 100), span("b", "a", 10, 50)];
    expect(names(spans)).toEqual(["a", " b", "  b2", " c"]);
    expect(names(spans, ["b"])).toEqual(["a", " b", " c"]);
  });

  /** Scenario: a parent that never came. Guarantees: its children are shown, marked, after the real root. */
  it("shows spans whose parent is missing", () => {
    const tree = buildTree([span("x", "gone", 0, 5), span("a", null, 1, 100), span("y", "x", 2, 3)]);
    expect(rowsOf(tree, new Set()).map((node) => [node.span.span_id, node.isOrphan])).toEqual([
      ["a", false],
      ["x", true],
      ["y", false],
    ]);
    expect(tree.missingParents).toBe(1);
  });

  /** Scenario: spans in a circle, one that is its own parent, and a proper tree beside. Guarantees: each is shown once. */
  it("cuts circles", () => {
    const tree = buildTree([
      span("a", "b", 1, 2),
      span("b", "c", 2, 3),
      span("c", "a", 3, 4),
      span("s", "s", 5, 6),
      span("r", null, 0, 9),
    ]);
    const rows = rowsOf(tree, new Set());
    expect(rows.map((node) => node.span.span_id).sort()).toEqual(["a", "b", "c", "r", "s"]);
    expect(
      rows
        .filter((node) => node.isCircular)
        .map((node) => node.span.span_id)
        .sort(),
    ).toEqual(["a", "s"]);
    expect(tree.missingParents).toBe(0);
  });

  /** Scenario: two spans with one id (the hub has joined those that say the same). Guarantees: a row for each. */
  it("h6 shows every span of a shared id", () => {
    expect(names([span("a", null, 0, 9), span("b", "a", 1, 2), span("b", "a", 1, 2)])).toEqual(["a", " b", " b"]);
  });

  /** Scenario: a chain of 20,000 spans. Guarantees: depth does not exhaust the stack. */
  it("takes deep traces", () => {
    const spans = Array.from({ length: 20_000 }, (_, index) =>
      span(`${index}`, index === 0 ? null : `${index - 1}`, index, 30_000),
    );
    const tree = buildTree(spans);
    expect(tree.depth).toBe(19_999);
    expect(rowsOf(tree, new Set())).toHaveLength(20_000);
  });

  /** Scenario: an empty trace. Guarantees: no exception. */
  it("takes a trace without spans", () => {
    const tree = buildTree([]);
    expect([tree.start, tree.end, tellingSpan(tree)]).toEqual([0n, 0n, null]);
  });
});

describe("time of a span itself", () => {
  /** Scenario: children that overlap, and one that outlives its parent. Guarantees: no time is counted twice. */
  it("leaves out what its children cover", () => {
    const tree = buildTree([
      span("a", null, 0, 100),
      span("b", "a", 10, 40),
      span("c", "a", 30, 50),
      span("d", "a", 90, 150),
    ]);
    expect(tree.byId.get("a")?.selfTime).toBe(50n);
    expect(tree.end).toBe(150n);
  });
});

describe("the telling span", () => {
  /** Scenario: an error that its parent reports too. Guarantees: the span where it began is chosen. */
  it("is the deepest error", () => {
    const spans = [span("a", null, 0, 100, ERROR), span("b", "a", 1, 90, ERROR), span("c", "a", 2, 95)];
    expect(tellingSpan(buildTree(spans))?.span.span_id).toBe("b");
  });

  /** Scenario: nested spans without an error. Guarantees: the one that spent the most time itself is chosen, not the longest one. */
  it("without an error is where the time went", () => {
    const spans = [span("a", null, 0, 100), span("b", "a", 1, 90), span("c", "b", 2, 10)];
    expect(tellingSpan(buildTree(spans))?.span.span_id).toBe("b");
  });
});
