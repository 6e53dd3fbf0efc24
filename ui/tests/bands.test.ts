import { describe, expect, it } from "vitest";
import type { Coverage, CoverageState, Interval, Signal } from "../src/api/schema";
import { bandsOf, summarise } from "../src/charts/bands";

const S = 1_000_000_000n;
const WINDOW = { from: 0n, to: 1000n * S };
const NOW = 1000n * S;

function interval(from: number, to: number, state: CoverageState, more: Partial<Interval> = {}): Interval {
  return { from: BigInt(from) * S, to: BigInt(to) * S, state, late: false, reason: null, records: null, ...more };
}

const of = (device: string, signal: Signal, ...intervals: Interval[]): Coverage[number] => ({
  device,
  signal,
  intervals,
});
const short = (coverage: Coverage, window = WINDOW) =>
  bandsOf(coverage, window, NOW).map((band) => [band.kind, Number(band.from / S), Number(band.to / S)]);

describe("coverage bands", () => {
  /** Scenario: a device that was always in contact. Guarantees: no shade, also not for the seconds that are on their way. */
  it("shade nothing that is as it should be", () => {
    const coverage = [
      of("a", "traces", interval(0, 100, "unknown"), interval(100, 985, "complete"), interval(985, 1000, "arriving")),
    ];
    expect(short(coverage)).toEqual([]);
  });

  /** Scenario: a device is back and sends what it held, all of it from the last seconds. Guarantees: that is shaded. */
  it("shade what is on its way after an outage", () => {
    const coverage = [
      of("a", "traces", interval(100, 985, "complete"), interval(985, 1000, "arriving", { late: true })),
    ];
    expect(short(coverage)).toEqual([["arriving", 985, 1000]]);
  });

  /** Scenario: an outage that goes on; traces are behind metrics by the sampler's wait. Guarantees: one band over the union, with an entry per extent. */
  it("join the signals of an outage", () => {
    const coverage = [
      of("a", "traces", interval(0, 500, "complete"), interval(500, 1000, "held_on_device")),
      of("a", "logs", interval(0, 500, "complete"), interval(500, 1000, "held_on_device")),
      of("a", "metrics", interval(0, 508, "complete"), interval(508, 1000, "held_on_device")),
    ];
    expect(short(coverage)).toEqual([["held", 500, 1000]]);
    const [band] = bandsOf(coverage, WINDOW, NOW);
    expect(band?.entries.map((entry) => entry.signals)).toEqual([["traces", "logs"], ["metrics"]]);
  });

  /** Scenario: after the outage. Guarantees: what came late is told apart, and is no reason for a banner. */
  it("tell late from incomplete", () => {
    const late = [of("a", "traces", interval(0, 500, "complete"), interval(500, 530, "complete", { late: true }))];
    expect(short(late)).toEqual([["late", 500, 530]]);
    expect(summarise(bandsOf(late, WINDOW, NOW))).toMatchObject({ incomplete: [], worst: null, late: 30n * S });
  });

  /** Scenario: a loss inside a late stretch, on a second device a backlog on its way. Guarantees: the worst wins, bands never overlap. */
  it("show the worst where several meet", () => {
    const coverage = [
      of(
        "a",
        "traces",
        interval(100, 300, "complete", { late: true }),
        interval(150, 200, "lost", { reason: "disk-full", records: 7 }),
      ),
      of("b", "metrics", interval(180, 400, "arriving")),
    ];
    expect(short(coverage)).toEqual([
      ["late", 100, 150],
      ["lost", 150, 200],
      ["arriving", 200, 400],
    ]);
    const summary = summarise(bandsOf(coverage, WINDOW, NOW));
    expect(summary.worst).toBe("lost");
    expect(summary.incomplete).toEqual(["a", "b"]);
    expect(summary.entries[0]).toMatchObject({ reason: "disk-full", records: 7, device: "a" });
  });

  /** Scenario: intervals that reach out of the window, touch it, or are empty. Guarantees: bands are clipped to the window. */
  it("stay inside the window", () => {
    const coverage = [
      of("a", "logs", interval(0, 400, "held_on_device"), interval(600, 600, "lost"), interval(700, 900, "lost")),
    ];
    const window = { from: 200n * S, to: 700n * S };
    expect(short(coverage, window)).toEqual([["held", 200, 400]]);
  });

  /** Scenario: time before a device was first heard of, and time whose epoch ended. Guarantees: only the latter is shaded. */
  it("shade unknown time only where there is a reason", () => {
    const coverage = [
      of("a", "logs", interval(0, 10, "unknown"), interval(10, 20, "unknown", { reason: "epoch-ended" })),
    ];
    expect(short(coverage)).toEqual([["unknown", 10, 20]]);
  });
});
