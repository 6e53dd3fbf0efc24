import { describe, expect, it } from "vitest";
import { logsOrTable } from "../src/api/schema";
import { cellText, hasPipes } from "../src/logs/table";

const COMPLETE = { fraction: 1, complete: true, devices: [] };

describe("tables", () => {
  /** Scenario: filters with a pipe, and with one inside quotes. Guarantees: only the first ones ask for a table. */
  it("tells a pipe from a letter in quotes", () => {
    for (const filter of ["| stats count", "a=1|limit 2", '"a|b" | stats count', "body~'x|y' | top 3"]) {
      expect(hasPipes(filter), filter).toBe(true);
    }
    for (const filter of ["", "level>=warn", '"a|b"', 'body~"x\\"|y"', "body~'x|y'"]) {
      expect(hasPipes(filter), filter).toBe(false);
    }
  });

  /** Scenario: answers of both kinds. Guarantees: each is read as what it is. */
  it("reads lines or a table", () => {
    const table = { columns: ["service", "count"], rows: [["api", 2]], left_out: 0, completeness: COMPLETE };
    expect(logsOrTable(table, "").table?.rows).toEqual([["api", 2]]);
    expect(logsOrTable(table, "").lines).toBeNull();
    const lines = { logs: [], stored: 0, completeness: COMPLETE };
    expect(logsOrTable(lines, "").lines?.logs).toEqual([]);
    expect(() => logsOrTable({ ...table, rows: 1 }, "")).toThrow("rows: expected a list");
  });

  /** Scenario: cells of every kind. Guarantees: lengths, levels and numbers are written as elsewhere on the page. */
  it("writes cells in words", () => {
    expect(cellText("dur", 1_240_000)).toBe("1.24 ms");
    expect(cellText("p95(dur)", 503_999_999.5)).toBe("504 ms");
    expect(cellText("level", 17)).toBe("error");
    expect(cellText("count", 12)).toBe("12");
    expect(cellText("rate", 0.123456789)).toBe("0.123457");
    expect(cellText("ok", true)).toBe("true");
    expect(cellText("service", null)).toBe("");
    expect(cellText("time", "1763716800306000000")).toMatch(/^2025-11-2[01] \d\d:\d\d:00\.306$/);
  });
});
