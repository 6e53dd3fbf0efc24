import { describe, expect, it } from "vitest";
import * as time from "../src/time";

describe("times", () => {
  /** Scenario: a time with nanoseconds that a JavaScript number cannot hold. Guarantees: the text is exact to the millisecond, seconds to the microsecond. */
  it("keep what they have", () => {
    const at = 1795257140382954195n;
    expect(Number(at)).not.toBe(at);
    expect(time.clockTimeMs(at)).toMatch(/:\d\d\.382$/);
    expect(time.toSeconds(at)).toBeCloseTo(1795257140.382954, 5);
    expect(time.fromSeconds(1795257140.3829541)).toBe(1795257140383000000n);
  });

  /** Scenario: durations from nothing to a minute, and beside the borders of units. Guarantees: three digits, and no unit that reads as 1000 of itself. */
  it("write durations in three digits with a fitting unit", () => {
    const written = [0n, 812n, 1_240n, 92_931_568n, 999_400_000n, 999_600_000n, 12_345_000_000n, 61_000_000_000n];
    expect(written.map(time.duration)).toEqual([
      "0 ns",
      "812 ns",
      "1.24 µs",
      "92.9 ms",
      "999 ms",
      "1 s",
      "12.3 s",
      "1 min 1 s",
    ]);
    expect(time.milliseconds(504.15892)).toBe("504 ms");
  });

  /** Scenario: stretches from nothing to days. Guarantees: the two largest units, none of them zero. */
  it("write stretches in two units", () => {
    expect([0n, 6n, 60n, 425n, 7_800n, 273_600n].map((s) => time.span(s * time.SECOND))).toEqual([
      "0 s",
      "6 s",
      "1 min",
      "7 min 5 s",
      "2 h 10 min",
      "3 d 4 h",
    ]);
  });

  /** Scenario: what people write for a duration. Guarantees: the hub gets its own form, and nothing that it would refuse. */
  it("read durations as the hub does", () => {
    const read = ["200ms", " 1.5 s ", "200", "3µs", "10m", "2d", "", "fast", "-1s", "1..5s", "1e3s"].map(
      time.durationParam,
    );
    expect(read).toEqual(["200ms", "1.5s", "200ms", "3us", "10m", "2d", null, null, null, null, null]);
  });

  /** Scenario: each range of the page, and a month. Guarantees: a chart never asks for more steps than it has pixels for. */
  it("choose a step of at most 180 per chart", () => {
    const steps = [time.SECOND, 5n * time.MINUTE, 15n * time.MINUTE, time.HOUR, 6n * time.HOUR, 720n * time.HOUR];
    expect(steps.map((length) => Number(time.stepFor(length) / time.SECOND))).toEqual([1, 2, 5, 20, 120, 21600]);
    for (const length of steps) expect(length / time.stepFor(length)).toBeLessThanOrEqual(180n);
  });
});
