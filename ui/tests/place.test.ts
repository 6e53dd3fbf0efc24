import { describe, expect, it } from "vitest";
import { formatPlace, HOME, parsePlace, type Place } from "../src/state/place";

describe("the hash of the URL", () => {
  /** Scenario: a place with everything set is written and read. Guarantees: a link shows another person the same. */
  it("carries all of the state", () => {
    const place: Place = {
      range: { from: 1795257140382954195n, to: 1795257187630157440n },
      service: "vessel app/ä",
      operation: "GET /api/alerts/system?x=1&y=2",
      device: "vessel-1",
      live: false,
      list: "logs",
      errorsOnly: true,
      minDuration: "200ms",
      logText: "a#b=c & d",
      severity: "warn",
      trace: "78346de8c87ff95da2df80dcf1717458",
      span: "a12ce83c66be4968",
      tab: "logs",
      spanOnly: true,
    };
    expect(parsePlace(formatPlace(place))).toEqual(place);
  });

  /** Scenario: the home place. Guarantees: the URL stays clean, and an empty hash is home. */
  it("leaves out what is as at home", () => {
    expect(formatPlace(HOME)).toBe("#");
    expect(parsePlace("")).toEqual(HOME);
    expect(parsePlace("#")).toEqual(HOME);
  });

  /** Scenario: a hash that someone cut or wrote by hand. Guarantees: what cannot be read falls back, the rest stays. */
  it("survives nonsense", () => {
    const place = parsePlace("#from=12&to=3&last=forever&tab=x&severity=loud&trace=xyz&span=123&service=a&live=maybe");
    expect(place).toEqual({ ...HOME, service: "a" });
    expect(parsePlace("#from=9&to=99999999999999999999999").range).toEqual(HOME.range);
    // A span without its trace means nothing.
    expect(parsePlace("#span=a12ce83c66be4968").span).toBe("");
  });
});
