// What the pointer or the keyboard is at, in words.
import { hovered, type Hovered } from "../state/hover";
import { clockTime, clockTimeMs, count, milliseconds, span } from "../time";
import type { Band, BandEntry } from "./bands";
import type { Diamond } from "./exemplars";

const WIDTH = 300;
const GAP = 14;
const MOST_ENTRIES = 6;

const WHAT_NOW: Record<Diamond["state"], string> = {
  stored: "click or Enter opens the trace",
  on_device: "the trace is still on the device; it comes with the next contact",
  missing: "the trace is not stored and will not come",
};

function OfExemplar({ diamond }: { diamond: Diamond }) {
  return (
    <>
      <div class="head">
        <b class={diamond.isError ? "bad" : ""}>{milliseconds(diamond.value)}</b>
        <span>{clockTimeMs(diamond.time)}</span>
      </div>
      <div class="clip">
        {diamond.service} <span class="dim">{diamond.operation}</span>
      </div>
      <div class="mono dim">{diamond.traceId}</div>
      <div class="dim">{WHAT_NOW[diamond.state]}</div>
    </>
  );
}

/** One line about a device: `vessel-1 was dark 19:32:32–19:33:07, delivered late, complete`. */
export function sentence(entry: BandEntry): string {
  const times = `${clockTime(entry.from)}–${clockTime(entry.to)}`;
  const why = entry.reason === "" ? "" : ` (${entry.reason})`;
  switch (entry.kind) {
    case "held":
      return `${entry.device} dark, data since ${clockTime(entry.from)} held on the device`;
    case "arriving":
      return `${entry.device} ${times} arriving${why}`;
    case "lost":
      return `${entry.device} ${times} lost${entry.records > 0 ? ` ${count(entry.records)} records` : ""}${why}`;
    case "unknown":
      return `${entry.device} ${times} unknown${why}`;
    case "late":
      return `${entry.device} was dark ${times}, delivered late, complete`;
  }
}

function OfBand({ band }: { band: Band }) {
  const further = band.entries.length - MOST_ENTRIES;
  return (
    <>
      {band.entries.slice(0, MOST_ENTRIES).map((entry) => (
        <div class="entry" key={`${entry.device} ${entry.kind} ${entry.from}`}>
          <i class={`swatch ${entry.kind}`} />
          <div>
            {sentence(entry)}
            <div class="dim">
              {span(entry.to - entry.from)} of {entry.signals.join(", ")}
            </div>
          </div>
        </div>
      ))}
      {further > 0 ? <div class="dim">and {count(further)} more</div> : null}
    </>
  );
}

function position({ x, y }: Hovered) {
  // Beside the open trace, not over it.
  const edge = document.querySelector("main")?.getBoundingClientRect().right ?? innerWidth;
  const left = x + GAP + WIDTH > Math.min(edge, innerWidth) ? x - GAP - WIDTH : x + GAP;
  return { left: `${Math.max(4, left)}px`, top: `${y + GAP}px`, width: `${WIDTH}px` };
}

export function Tooltip() {
  const at = hovered.value;
  if (at === null) return null;
  return (
    <div class="tooltip" role="tooltip" aria-live="polite" data-testid="tooltip" style={position(at)}>
      {at.kind === "exemplar" ? <OfExemplar diamond={at.diamond} /> : <OfBand band={at.band} />}
    </div>
  );
}
