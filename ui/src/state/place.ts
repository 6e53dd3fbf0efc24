// Where the reader is, all of it in the hash of the URL: a link shows another person the same thing.
import { signal } from "@preact/signals";
import { HOUR, MINUTE } from "../time";

export const PRESETS = { "5m": 5n * MINUTE, "15m": 15n * MINUTE, "1h": HOUR, "6h": 6n * HOUR } as const;
export type Preset = keyof typeof PRESETS;

export type Range = { last: Preset } | { from: bigint; to: bigint };

export const TABS = ["attributes", "events", "logs", "resource", "links"] as const;
export type Tab = (typeof TABS)[number];

export const SEVERITIES = ["", "trace", "debug", "info", "warn", "error", "fatal"] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Place {
  range: Range;
  service: string;
  operation: string;
  /** Whether the data follows the clock. */
  live: boolean;
  list: "traces" | "logs";
  errorsOnly: boolean;
  /** As written, e.g. `200ms`; empty for none. */
  minDuration: string;
  logText: string;
  severity: Severity;
  /** The open trace; empty for none. */
  trace: string;
  /** The selected span; empty for the one that the page finds most telling. */
  span: string;
  tab: Tab;
  /** Whether the log lines of the open trace are those of the selected span only. */
  spanOnly: boolean;
}

export const HOME: Place = {
  range: { last: "15m" },
  service: "",
  operation: "",
  live: true,
  list: "traces",
  errorsOnly: false,
  minDuration: "",
  logText: "",
  severity: "",
  trace: "",
  span: "",
  tab: "attributes",
  spanOnly: false,
};

function isPreset(text: string | null): text is Preset {
  return text !== null && Object.hasOwn(PRESETS, text);
}

function within<const W extends string>(words: readonly W[], text: string | null, otherwise: W): W {
  return words.find((word) => word === text) ?? otherwise;
}

function rangeOf(params: URLSearchParams): Range {
  const time = (name: string) => {
    const text = params.get(name) ?? "";
    return /^\d{1,19}$/.test(text) ? BigInt(text) : null;
  };
  const [from, to] = [time("from"), time("to")];
  if (from !== null && to !== null && from < to) return { from, to };
  const last = params.get("last");
  return isPreset(last) ? { last } : HOME.range;
}

const hex = (text: string | null, digits: number) =>
  text !== null && text.length === digits && /^[0-9a-f]+$/.test(text) ? text : "";

/** Reads a hash. What cannot be read is as if it were not there: an old link must not break the page. */
export function parsePlace(hash: string): Place {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const text = (name: string) => params.get(name) ?? "";
  const trace = hex(params.get("trace"), 32);
  return {
    range: rangeOf(params),
    service: text("service"),
    operation: text("operation"),
    live: params.get("live") !== "off",
    list: within(["traces", "logs"], params.get("list"), HOME.list),
    errorsOnly: params.get("errors") === "only",
    minDuration: text("min"),
    logText: text("text"),
    severity: within(SEVERITIES, params.get("severity"), ""),
    trace,
    span: trace === "" ? "" : hex(params.get("span"), 16),
    tab: within(TABS, params.get("tab"), HOME.tab),
    spanOnly: params.get("lines") === "span",
  };
}

/** The hash of a place; what is as at home is left out. */
export function formatPlace(place: Place): string {
  const params = new URLSearchParams();
  const put = (name: string, value: string, home = "") => {
    if (value !== home) params.set(name, value);
  };
  if ("last" in place.range) {
    put("last", place.range.last, "last" in HOME.range ? HOME.range.last : "");
  } else {
    put("from", String(place.range.from));
    put("to", String(place.range.to));
  }
  put("service", place.service);
  put("operation", place.operation);
  put("live", place.live ? "" : "off");
  put("list", place.list, HOME.list);
  put("errors", place.errorsOnly ? "only" : "");
  put("min", place.minDuration);
  put("text", place.logText);
  put("severity", place.severity);
  if (place.trace !== "") {
    put("trace", place.trace);
    put("span", place.span);
    put("tab", place.tab, HOME.tab);
    put("lines", place.spanOnly ? "span" : "");
  }
  const text = params.toString();
  return text === "" ? "#" : `#${text}`;
}

/** A range in words that differ when it does. */
export function formatRange(range: Range): string {
  return "last" in range ? range.last : `${range.from}-${range.to}`;
}

export const place = signal<Place>(parsePlace(globalThis.location?.hash ?? ""));

/** The link to here with some things changed. */
export function linkTo(change: Partial<Place>): string {
  return formatPlace({ ...place.value, ...change });
}

/** Goes there. A step that the Back button should undo is pushed; typing and small switches are not. */
export function go(change: Partial<Place>, how: "push" | "replace" = "push"): void {
  const next = { ...place.peek(), ...change };
  const hash = formatPlace(next);
  if (hash === formatPlace(place.peek())) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", hash);
  place.value = next;
}

const zoomedFrom: Range[] = [];

/** Zooms into a stretch of time. */
export function zoom(from: bigint, to: bigint): void {
  zoomedFrom.push(place.peek().range);
  go({ range: { from, to } });
}

/** Back to what was seen before the last zoom. */
export function unzoom(): void {
  const before = zoomedFrom.pop();
  if (before !== undefined) go({ range: before });
  else if (!("last" in place.peek().range)) go({ range: HOME.range });
}

/** Follows the Back button and links inside the page. */
export function followHistory(): void {
  const read = () => {
    place.value = parsePlace(location.hash);
  };
  addEventListener("popstate", read);
  addEventListener("hashchange", read);
}
