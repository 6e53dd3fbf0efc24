import { afterEach, describe, expect, it, vi } from "vitest";
import { address, api, get, Problem } from "../src/api/client";
import * as decode from "../src/api/decode";
import * as schema from "../src/api/schema";

const WINDOW = { from: 1795257140382954195n, to: 1795257187630157440n };
const COMPLETE = { fraction: 1, complete: true, devices: [] };

function answer(body: unknown, status = 200): ReturnType<typeof vi.fn> {
  const fetch = vi.fn(async () => new Response(typeof body === "string" ? body : JSON.stringify(body), { status }));
  vi.stubGlobal("fetch", fetch);
  return fetch;
}

async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const error: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(Problem);
  return error as Problem;
}

afterEach(() => vi.unstubAllGlobals());

describe("reading answers", () => {
  /** Scenario: times beyond 2^53. Guarantees: they are read without loss. */
  it("takes nanoseconds from decimal strings only", () => {
    expect(decode.nanos("1795257140382954195", "t")).toBe(1795257140382954195n);
    for (const wrong of [1795257140382954195, "", "1e9", "12.5", "0x10", null, "1".repeat(30)]) {
      expect(() => decode.nanos(wrong, "t"), String(wrong)).toThrow("t: expected nanoseconds");
    }
  });

  /** Scenario: a field of the wrong kind deep in an answer. Guarantees: the error names its place. */
  it("names the place of what does not fit", () => {
    const red = {
      step: "1",
      times: ["1", "2"],
      rate: [1, "two"],
      errors: [],
      p50: [],
      p95: [],
      p99: [],
      completeness: COMPLETE,
    };
    expect(() => schema.red(red, "")).toThrow('rate[1]: expected a number, got "two"');
    expect(() => schema.red({ ...red, rate: [], completeness: [] }, "")).toThrow(
      "completeness: expected an object, got []",
    );
  });

  /** Scenario: steps about which nothing is known. Guarantees: they stay null, for a hole in the line. */
  it("keeps nulls, and fields of a newer hub do not matter", () => {
    const red = schema.red(
      {
        step: "1",
        times: ["1", "2"],
        rate: [null, 0],
        errors: [],
        p50: [],
        p95: [],
        p99: [],
        completeness: COMPLETE,
        new: 1,
      },
      "",
    );
    expect(red.rate).toEqual([null, 0]);
    expect(red.times).toEqual([1n, 2n]);
  });
});

describe("asking", () => {
  /** Scenario: parameters that are empty, false, or full of letters with a meaning in URLs. Guarantees: the hub gets what was meant. */
  it("leaves out what is empty and escapes the rest", () => {
    expect(
      address("api/v0/traces", { start: 5n, service: "", error: false, operation: "GET /a?b&c", limit: 100 }),
    ).toBe("api/v0/traces?start=5&operation=GET+%2Fa%3Fb%26c&limit=100");
    expect(address("api/v0/devices")).toBe("api/v0/devices");
  });

  /** Scenario: a window with nanoseconds beyond 2^53. Guarantees: the hub is asked for exactly that window. */
  it("sends whole nanoseconds", async () => {
    const fetch = answer({ coverage: [] });
    await api.coverage(WINDOW);
    expect(fetch.mock.calls[0]?.[0]).toBe("api/v0/coverage?start=1795257140382954195&end=1795257187630157440");
  });

  /** Scenario: the hub refuses with its own words. Guarantees: message and hint reach the reader. */
  it("passes the hub's hint on", async () => {
    answer({ error: "zz is no trace id", hint: "32 hex digits, not all 0" }, 400);
    const problem = await problemOf(api.trace("zz"));
    expect([problem.message, problem.hint, problem.status]).toEqual([
      "zz is no trace id",
      "32 hex digits, not all 0",
      400,
    ]);
  });

  /** Scenario: a proxy's error page, an answer of another shape, and no answer. Guarantees: each is a problem with words and a hint. */
  it("says something useful about answers that are not the hub's", async () => {
    answer("<html>proxy error</html>", 502);
    expect((await problemOf(api.devices())).message).toContain("502");
    answer({ devices: 7 });
    const problem = await problemOf(api.devices());
    expect(problem.message).toContain("devices: expected a list, got 7");
    expect(problem.hint).toContain("reload");
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("failed to fetch")));
    expect((await problemOf(api.devices())).message).toBe("the hub does not answer");
  });

  /** Scenario: a request that the page itself called off. Guarantees: it is no problem to show. */
  it("does not turn its own abort into a problem", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new DOMException("off", "AbortError")));
    await expect(get("api/v0/devices", {}, schema.devices)).rejects.toBeInstanceOf(DOMException);
  });
});
