import { describe, expect, it } from "vitest";
import type { Exemplar } from "../src/api/schema";
import { diamondsOf, HIT_RADIUS, nearest, neighbour, thin } from "../src/charts/exemplars";

function exemplar(trace: string, time: bigint, value: number, kind: string, more: Partial<Exemplar> = {}): Exemplar {
  return {
    metric: "traces.span.metrics.duration",
    service: "s",
    device: "d",
    attributes: { "span.kind": `SPAN_KIND_${kind}`, "span.name": "op", "status.code": "STATUS_CODE_UNSET" },
    time,
    value,
    trace_id: trace,
    span_id: `${trace}-${kind}`,
    state: "stored",
    ...more,
  };
}

describe("diamonds", () => {
  /** Scenario: every span of a trace has an exemplar. Guarantees: one diamond per trace, that of the request itself. */
  it("are one per trace", () => {
    const found = diamondsOf(
      [exemplar("b", 5n, 300, "SERVER"), exemplar("b", 4n, 900, "INTERNAL"), exemplar("a", 3n, 20, "CONSUMER")],
      "",
    );
    expect(found.map((diamond) => [diamond.traceId, diamond.value])).toEqual([
      ["a", 20],
      ["b", 300],
    ]);
  });

  /** Scenario: a service without server and consumer spans. Guarantees: its spans are shown all the same. */
  it("show the operation that was asked for, and inner spans where there are no requests", () => {
    expect(diamondsOf([exemplar("b", 4n, 900, "INTERNAL")], "op")).toHaveLength(1);
    expect(diamondsOf([exemplar("b", 4n, 900, "INTERNAL")], "")).toHaveLength(1);
  });

  /** Scenario: exemplars without a trace or a value. Guarantees: they are no diamond, since nothing could be opened or placed. */
  it("leave out what leads nowhere", () => {
    expect(
      diamondsOf(
        [exemplar("a", 1n, 1, "SERVER", { trace_id: null }), exemplar("a", 1n, 1, "SERVER", { value: null })],
        "",
      ),
    ).toEqual([]);
  });

  /** Scenario: many in one column. Guarantees: the slowest of each colour and state stays, and so does the open one. */
  it("are thinned by column", () => {
    const all = diamondsOf(
      [
        exemplar("a", 1n, 10, "SERVER"),
        exemplar("b", 2n, 30, "SERVER"),
        exemplar("c", 3n, 20, "SERVER"),
        exemplar("d", 4n, 5, "SERVER", { attributes: { "span.kind": "SERVER", "status.code": "STATUS_CODE_ERROR" } }),
        exemplar("e", 5n, 1, "SERVER", { state: "missing" }),
        exemplar("f", 11n, 2, "SERVER"),
      ],
      "",
    );
    const kept = thin(all, (time) => Number(time / 10n), "a");
    expect(kept.map((diamond) => diamond.traceId)).toEqual(["a", "b", "d", "e", "f"]);
  });
});

describe("hits", () => {
  const spots = [
    { x: 100, y: 50 },
    { x: 110, y: 50 },
    { x: 300, y: 20 },
  ];

  /** Scenario: pointers between two diamonds, at the radius, and beyond it. Guarantees: the nearer one is hit, within at least 12 pixels. */
  it("take the nearest within the radius", () => {
    expect(nearest(spots, 104, 50)).toBe(0);
    expect(nearest(spots, 106, 52)).toBe(1);
    expect(nearest(spots, 300, 20 + HIT_RADIUS)).toBe(2);
    expect(nearest(spots, 300, 21 + HIT_RADIUS)).toBe(-1);
    expect(nearest([], 0, 0)).toBe(-1);
    expect(HIT_RADIUS).toBeGreaterThanOrEqual(12);
  });

  /** Scenario: two diamonds in one place. Guarantees: the one that is seen is hit. */
  it("of two in one place take the one on top", () => {
    expect(
      nearest(
        [
          { x: 1, y: 1 },
          { x: 1, y: 1 },
        ],
        1,
        1,
      ),
    ).toBe(1);
  });
});

describe("the keyboard", () => {
  /** Scenario: steps forwards and backwards, from nowhere and from both ends. Guarantees: each is reached, none is left out. */
  it("goes around in the order of time", () => {
    const all = diamondsOf(
      [exemplar("a", 1n, 1, "SERVER"), exemplar("b", 2n, 1, "SERVER"), exemplar("c", 3n, 1, "SERVER")],
      "",
    );
    const keys = all.map((diamond) => diamond.key);
    expect(neighbour(all, "", 1)?.key).toBe(keys[0]);
    expect(neighbour(all, "", -1)?.key).toBe(keys[2]);
    expect(neighbour(all, keys[2] ?? "", 1)?.key).toBe(keys[0]);
    expect(neighbour(all, keys[0] ?? "", -1)?.key).toBe(keys[2]);
    expect(neighbour([], "", 1)).toBeNull();
  });
});
