// The shaded stretches, below the lines of a chart.
import { toSeconds } from "../time";
import type { Band, BandKind } from "./bands";
import type { Scales } from "./Chart";

const LABELS: Record<BandKind, string> = {
  held: "dark, data held",
  arriving: "arriving",
  lost: "lost",
  unknown: "unknown",
  late: "was dark, delivered late",
};
/** A label stands where it has room: so many pixels for each letter. */
const LETTER_PX = 6.2;

export function BandLayer({ bands, scales, labelled }: { bands: Band[]; scales: Scales; labelled: boolean }) {
  return (
    <>
      {bands.map((band) => {
        const left = Math.max(0, scales.x(toSeconds(band.from)));
        const right = Math.min(scales.width, scales.x(toSeconds(band.to)));
        if (right <= left) return null;
        const width = Math.max(2, right - left);
        return (
          <div
            key={`${band.kind} ${band.from}`}
            class={`band ${band.kind}`}
            data-testid="coverage-band"
            data-kind={band.kind}
            style={{ left: `${left}px`, width: `${width}px` }}
          >
            {labelled && width > LETTER_PX * LABELS[band.kind].length ? <span>{LABELS[band.kind]}</span> : null}
          </div>
        );
      })}
    </>
  );
}
