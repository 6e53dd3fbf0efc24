// Where the reader is, all of it in the hash of the URL: a link shows another person the same thing.
import { signal } from "@preact/signals";
import { DAY, HOUR, MINUTE } from "../time";

export const PRESETS = {
  "5m": 5n * MINUTE,
  "15m": 15n * MINUTE,
  "1h": HOUR,
  "6h": 6n * HOUR,
  "24h": DAY,
  "7d": 7n * DAY,
  "30d": 30n * DAY,
} as const;
export type Preset = keyof typeof PRESETS;

export type Range = { last: Preset } | { from: bigint; to: bigint };

export const TABS = ["attributes", "events", "logs", "resource", "links"] as const;
/** Empty for the first tab that has something to show. */
export type Tab = (typeof TABS)[number] | "";

export const SEVERITIES = ["", "trace", "debug", "info", "warn", "error", "fatal"] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Place {
  range: Range;
  service: string;
  operation: string;
  /** Only what comes from this device; empty for all. */
  device: string;
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
  device: "",
  live: true,
  list: "traces",
  errorsOnly: false,
  minDuration: "",
  logText: "",
  severity: "",
  trace: "",
  span: "",
  tab: "",
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

/** What of a link cannot be read, in words; a link that somebody cut must not lead elsewhere without a word. */
export function problemsOf(hash: string): string[] {
  const params = new URLSearchParams(hash.replace(/^#/, ""));
  const read = new URLSearchParams(formatPlace(parsePlace(hash)).replace(/^#/, ""));
  const known = new Set([...Object.keys(READS), "from", "to", "last"]);
  const problems: string[] = [];
  for (const [name, value] of params) {
    const short = value.length > 40 ? `${value.slice(0, 40)}…` : value;
    if (!known.has(name)) problems.push(`nothing is called “${name}”`);
    else if (value !== "" && !isRead(name, value, read)) problems.push(`${name}=${short} cannot be read`);
  }
  return problems;
}

/** How the parts of a link look when they are as at home, and so left out of it. */
const READS: Record<string, (value: string) => boolean> = {
  service: () => true,
  operation: () => true,
  device: () => true,
  live: (value) => value === "off" || value === "on",
  list: (value) => value === "traces" || value === "logs",
  errors: (value) => value === "only",
  min: () => true,
  text: () => true,
  severity: (value) => within(SEVERITIES, value, "") !== "",
  trace: (value) => hex(value, 32) !== "",
  span: (value) => SPAN.test(value),
  tab: (value) => within<Tab>(TABS, value, "") !== "",
  lines: (value) => value === "span",
};

function isRead(name: string, value: string, read: URLSearchParams): boolean {
  if (name === "last") return isPreset(value);
  if (name === "from" || name === "to") return read.has(name);
  return READS[name]?.(value) ?? false;
}

/** A span's id; where several of a trace share it, `~` and a number follow. */
const SPAN = /^[0-9a-f]{16}(~\d{1,6})?$/;

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
    device: text("device"),
    live: params.get("live") !== "off",
    list: within(["traces", "logs"], params.get("list"), HOME.list),
    errorsOnly: params.get("errors") === "only",
    minDuration: text("min"),
    logText: text("text"),
    severity: within(SEVERITIES, params.get("severity"), ""),
    trace,
    span: trace !== "" && SPAN.test(text("span")) ? text("span") : "",
    tab: within<Tab>(TABS, params.get("tab"), HOME.tab),
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
  put("device", place.device);
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

/** What of the link that led here cannot be read. */
export const linkProblems = signal<string[]>(problemsOf(globalThis.location?.hash ?? ""));

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
    linkProblems.value = problemsOf(location.hash);
  };
  addEventListener("popstate", read);
  addEventListener("hashchange", read);
}
