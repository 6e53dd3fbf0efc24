// Which stretches of the charts are shaded: what the hub knows to be missing, on its way, lost, or late.
import type { Coverage, Interval, Signal } from "../api/schema";
import type { Window } from "../api/client";
import { SECOND } from "../time";

/** The worst first: where several meet, the worst decides the shade. */
export const KINDS = ["lost", "held", "arriving", "unknown", "late"] as const;
export type BandKind = (typeof KINDS)[number];

export interface BandEntry {
  device: string;
  signals: Signal[];
  kind: BandKind;
  from: bigint;
  to: bigint;
  reason: string;
  records: number;
}

/** A stretch of time with one shade, and all that is wrong in it. */
export interface Band {
  from: bigint;
  to: bigint;
  kind: BandKind;
  entries: BandEntry[];
}

/**
 * The newest data of a device in contact is always on its way: the sampler waits for traces to be whole. The hub does
 * not count as much as this as incomplete, and the page does not shade it, unless it is what an outage held back.
 */
export const LIVE_EDGE = 60n * SECOND;

/** How an interval is shaded; `null` for one that is as it should be. */
export function kindOf(interval: Interval, now: bigint, edge: bigint = LIVE_EDGE): BandKind | null {
  switch (interval.state) {
    case "lost":
      return "lost";
    case "held_on_device":
      return "held";
    case "arriving":
      return interval.from >= now - edge && !interval.late ? null : "arriving";
    case "stopped":
      return null;
    case "complete":
      return interval.late ? "late" : null;
    case "unknown":
      // Before a device was first heard of there is nothing to know; with a reason, something happened.
      return interval.reason === null ? null : "unknown";
  }
}

/** The live edge of devices that say it. */
const NO_EDGES: ReadonlyMap<string, bigint> = new Map();

/** What is wrong, one entry per device, kind and time; the signals that share it are joined. */
export function entriesOf(coverage: Coverage, now: bigint, edges: ReadonlyMap<string, bigint> = NO_EDGES): BandEntry[] {
  const entries = new Map<string, BandEntry>();
  for (const { device, signal, intervals } of coverage) {
    for (const interval of intervals) {
      const kind = kindOf(interval, now, edges.get(device));
      if (kind === null || interval.from >= interval.to) continue;
      const key = [device, kind, interval.from, interval.to, interval.reason].join("\n");
      const found = entries.get(key);
      if (found !== undefined) {
        found.signals.push(signal);
        found.records = Math.max(found.records, interval.records ?? 0);
        continue;
      }
      entries.set(key, {
        device,
        signals: [signal],
        kind,
        from: interval.from,
        to: interval.to,
        reason: interval.reason ?? "",
        records: interval.records ?? 0,
      });
    }
  }
  return [...entries.values()];
}

const compare = (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0);

/** The shaded stretches of the window, in the order of time, without overlaps. */
export function bandsOf(
  coverage: Coverage,
  window: Window,
  now: bigint,
  edges: ReadonlyMap<string, bigint> = NO_EDGES,
): Band[] {
  const entries = entriesOf(coverage, now, edges).filter((entry) => entry.from < window.to && entry.to > window.from);
  const clip = (time: bigint) => (time < window.from ? window.from : time > window.to ? window.to : time);
  const cuts = [...new Set(entries.flatMap((entry) => [clip(entry.from), clip(entry.to)]))].sort(compare);
  const starting = [...entries].sort((a, b) => compare(a.from, b.from));
  const bands: Band[] = [];
  let open: BandEntry[] = [];
  let next = 0;
  for (const [index, from] of cuts.entries()) {
    const to = cuts[index + 1];
    if (to === undefined) break;
    open = open.filter((entry) => entry.to > from);
    for (let entry = starting[next]; entry !== undefined && entry.from <= from; entry = starting[++next]) {
      if (entry.to > from) open.push(entry);
    }
    const kind = KINDS.find((kind) => open.some((entry) => entry.kind === kind));
    if (kind === undefined) continue;
    const before = bands.at(-1);
    if (before !== undefined && before.to === from && before.kind === kind) {
      before.to = to;
      before.entries.push(...open.filter((entry) => !before.entries.includes(entry)));
    } else {
      bands.push({ from, to, kind, entries: [...open] });
    }
  }
  return bands;
}

/** What the banner says: how many devices are not complete in the window, and how much came late. */
export interface Summary {
  /** Names of devices with something lost, held or on its way. */
  incomplete: string[];
  worst: Exclude<BandKind, "late"> | null;
  /** The entries behind it, the worst first. */
  entries: BandEntry[];
  /** Nanoseconds that came late and are complete now: the union over devices and signals. */
  late: bigint;
}

export function summarise(bands: Band[]): Summary {
  const entries = [...new Set(bands.flatMap((band) => band.entries))].filter((entry) => entry.kind !== "late");
  entries.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || compare(a.from, b.from));
  const worst = entries[0]?.kind;
  const late = bands.filter((band) => band.entries.some((entry) => entry.kind === "late"));
  return {
    incomplete: [...new Set(entries.map((entry) => entry.device))],
    worst: worst === undefined || worst === "late" ? null : worst,
    entries,
    late: late.reduce((sum, band) => sum + band.to - band.from, 0n),
  };
}
