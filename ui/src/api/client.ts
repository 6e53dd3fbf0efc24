// The requests of docs/hub-api.md.
import { ShapeError, type Decoder } from "./decode";
import * as schema from "./schema";

/** What went wrong, for the reader of the page; `hint` says what to do, `status` is 0 where no hub was reached. */
export class Problem extends Error {
  constructor(
    message: string,
    readonly hint: string,
    readonly status: number,
  ) {
    super(message);
    this.name = "Problem";
  }
}

export type Query = Record<string, string | number | boolean | bigint | undefined>;

/** `path?name=value&...`, without what is empty. The path has no leading slash: the page may stand below another. */
export function address(path: string, query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) params.set(name, String(value));
  }
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** How far the hub's clock is ahead of this one; `Date` headers have whole seconds, so small differences are none. */
let hubAheadMs = 0;

function noteClock(date: string | null): void {
  const hub = date === null ? Number.NaN : Date.parse(date);
  const ahead = hub + 500 - Date.now();
  if (Number.isFinite(ahead)) hubAheadMs = Math.abs(ahead) > 3_000 ? ahead : 0;
}

/** Now, in nanoseconds since the epoch, by the hub's clock as far as it is known. */
export function hubNow(): bigint {
  return BigInt(Math.round(Date.now() + hubAheadMs)) * 1_000_000n;
}

/** How long an answer about the hub itself may take; and one that it has to look for. */
export const PROMPT_MS = 5_000;
export const SEARCH_MS = 20_000;

const UNREACHABLE = "is lightship-hub running, and can this browser reach it?";

async function problemOf(response: Response): Promise<Problem> {
  const answered = `${response.status} ${response.statusText}`.trim();
  try {
    const body = (await response.json()) as { error?: unknown; hint?: unknown };
    if (typeof body.error === "string") {
      return new Problem(body.error, typeof body.hint === "string" ? body.hint : "", response.status);
    }
  } catch {
    // Not the hub's own words; said below.
  }
  if ([502, 503, 504].includes(response.status)) {
    return new Problem(`the hub does not answer; what stands before it says ${answered}`, UNREACHABLE, 0);
  }
  return new Problem(`the hub answered ${answered}`, "look at the hub's own log", response.status);
}

/** Asks and reads the whole answer within `most` milliseconds: a hub that hangs is one that does not answer. */
export async function get<T>(
  path: string,
  query: Query,
  decoder: Decoder<T>,
  signal?: AbortSignal,
  most: number = SEARCH_MS,
): Promise<T> {
  const late = AbortSignal.timeout(most);
  let body: unknown;
  try {
    const response = await fetch(address(path, query), {
      signal: signal === undefined ? late : AbortSignal.any([signal, late]),
    });
    noteClock(response.headers.get("date"));
    // Nobody is signed in, or not any more: there is nothing to show until somebody is.
    if (response.status === 401) globalThis.location?.assign("sign-in");
    if (!response.ok) throw await problemOf(response);
    body = await response.json();
  } catch (error) {
    if (error instanceof Problem) throw error;
    const isOff = error instanceof DOMException && error.name === "AbortError" && !late.aborted;
    if (isOff || signal?.aborted === true) throw error;
    const words = late.aborted ? `the hub did not answer within ${most / 1000} s` : "the hub does not answer";
    throw new Problem(words, UNREACHABLE, 0);
  }
  try {
    return decoder(body, "");
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new Problem(
      `${path} answered something unexpected: ${error.message}`,
      "page and hub are of different versions: reload the page",
      200,
    );
  }
}

export interface Window {
  from: bigint;
  to: bigint;
}

const bounds = (window: Window) => ({ start: window.from, end: window.to });

export const api = {
  services: (window: Window, signal?: AbortSignal) =>
    get("api/v0/services", bounds(window), schema.services, signal, PROMPT_MS),
  me: (signal?: AbortSignal) => get("api/v0/me", {}, schema.me, signal, PROMPT_MS),
  devices: (signal?: AbortSignal) => get("api/v0/devices", {}, schema.devices, signal, PROMPT_MS),
  coverage: (window: Window, signal?: AbortSignal) => get("api/v0/coverage", bounds(window), schema.coverage, signal),
  red: (
    window: Window,
    query: { service: string; operation: string; device: string; step: string },
    signal?: AbortSignal,
  ) => get("api/v0/red", { ...bounds(window), ...query }, schema.red, signal),
  exemplars: (window: Window, query: Query, signal?: AbortSignal) =>
    get("api/v0/exemplars", { ...bounds(window), ...query }, schema.exemplars, signal),
  traces: (window: Window, query: Query, signal?: AbortSignal) =>
    get("api/v0/traces", { ...bounds(window), ...query }, schema.traces, signal),
  trace: (id: string, signal?: AbortSignal) => get(`api/v0/traces/${encodeURIComponent(id)}`, {}, schema.trace, signal),
  logsOfTrace: (id: string, signal?: AbortSignal) =>
    get("api/v0/logs", { trace_id: id, limit: 10_000 }, schema.logs, signal),
  logs: (window: Window, query: Query, signal?: AbortSignal) =>
    get("api/v0/logs", { ...bounds(window), ...query }, schema.logsOrTable, signal),
};
