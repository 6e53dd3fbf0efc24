// Exemplars as diamonds of the latency chart: which are shown, and which one the pointer is at.
import type { Exemplar } from "../api/schema";

export interface Diamond {
  key: string;
  time: bigint;
  /** Milliseconds. */
  value: number;
  traceId: string;
  spanId: string;
  service: string;
  operation: string;
  device: string;
  state: Exemplar["state"];
  isError: boolean;
}

/** How near the pointer must be, in pixels. */
export const HIT_RADIUS = 12;
const ENTRY_KINDS = /server|consumer/i;

function attribute(exemplar: Exemplar, name: string): string {
  const value = exemplar.attributes[name];
  return typeof value === "string" ? value : "";
}

/**
 * One diamond for each trace, in the order of time. Without an operation the chart shows the spans at which requests
 * enter the service, and so do the diamonds; where there are no such spans, all.
 */
export function diamondsOf(exemplars: Exemplar[], operation: string): Diamond[] {
  const isEntry = (exemplar: Exemplar) => ENTRY_KINDS.test(attribute(exemplar, "span.kind"));
  const entries = operation === "" ? exemplars.filter(isEntry) : exemplars;
  const byTrace = new Map<string, Diamond>();
  for (const exemplar of entries.length > 0 ? entries : exemplars) {
    const { trace_id, span_id, value, time, service, device, state } = exemplar;
    if (trace_id === null || value === null) continue;
    const former = byTrace.get(trace_id);
    if (former !== undefined && former.value >= value) continue;
    byTrace.set(trace_id, {
      key: `${trace_id}-${span_id ?? ""}`,
      time,
      value,
      traceId: trace_id,
      spanId: span_id ?? "",
      service,
      operation: attribute(exemplar, "span.name"),
      device: device ?? "",
      state,
      isError: /error/i.test(attribute(exemplar, "status.code")),
    });
  }
  return [...byTrace.values()].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/**
 * As many as can be told apart: of each column of the chart the slowest one of each colour and state. The open one
 * always stays.
 */
export function thin(diamonds: Diamond[], columnOf: (time: bigint) => number, always: string): Diamond[] {
  const slowest = new Map<string, Diamond>();
  for (const diamond of diamonds) {
    const place = `${columnOf(diamond.time)} ${diamond.isError} ${diamond.state}`;
    const former = slowest.get(place);
    if (former === undefined || former.value < diamond.value) slowest.set(place, diamond);
  }
  const kept = new Set(slowest.values());
  return diamonds.filter((diamond) => kept.has(diamond) || diamond.traceId === always);
}

export interface Spot {
  x: number;
  y: number;
}

/** The index of the nearest spot within the radius; -1 for none. Of equally near ones the last, which is drawn on top. */
export function nearest(spots: Spot[], x: number, y: number, radius = HIT_RADIUS): number {
  let best = -1;
  let least = radius * radius;
  for (const [index, spot] of spots.entries()) {
    const distance = (spot.x - x) ** 2 + (spot.y - y) ** 2;
    if (distance <= least) {
      best = index;
      least = distance;
    }
  }
  return best;
}

/** The neighbour in time of the one with this key; the first or last one when there is none with it. */
export function neighbour(diamonds: Diamond[], key: string, direction: 1 | -1): Diamond | null {
  if (diamonds.length === 0) return null;
  const at = diamonds.findIndex((diamond) => diamond.key === key);
  const index = at === -1 ? (direction === 1 ? 0 : diamonds.length - 1) : at + direction;
  return diamonds[(index + diamonds.length) % diamonds.length] ?? null;
}
