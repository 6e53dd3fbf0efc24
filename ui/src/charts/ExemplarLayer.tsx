// Diamonds above the lines of the latency chart. They are elements, so that they can be read by machines and people
// alike; the pointer is followed by the chart, which knows the nearest one.
import { focused } from "../state/hover";
import { place } from "../state/place";
import { milliseconds } from "../time";
import type { Diamond, Spot } from "./exemplars";

const SIZE = 4.6;

const WORDS: Record<Diamond["state"], string> = {
  stored: "trace stored",
  on_device: "trace still on the device",
  missing: "trace not stored",
};

export interface Placed extends Spot {
  diamond: Diamond;
}

export function ExemplarLayer({ placed, width, height }: { placed: Placed[]; width: number; height: number }) {
  const open = place.value.trace;
  const at = focused.value;
  return (
    <svg class="exemplars" width={width} height={height} role="group" aria-label="exemplars">
      {placed.map(({ diamond, x, y }) => {
        const isAt = diamond.key === at || diamond.traceId === open;
        const size = isAt ? SIZE * 1.5 : SIZE;
        return (
          <g
            key={diamond.key}
            class={`diamond ${diamond.state}${diamond.isError ? " error" : ""}${isAt ? " at" : ""}`}
            data-testid="exemplar"
            data-state={diamond.state}
            data-trace={diamond.traceId}
            data-value={diamond.value}
            data-error={diamond.isError}
            transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`}
            role="img"
            aria-label={`${milliseconds(diamond.value)}, ${WORDS[diamond.state]}`}
          >
            {isAt ? <circle class="ring" r={SIZE * 2.4} /> : null}
            <path d={`M0 ${-size}L${size} 0L0 ${size}L${-size} 0Z`} />
            {diamond.state === "missing" ? <path class="strike" d={`M${-size} ${size}L${size} ${-size}`} /> : null}
          </g>
        );
      })}
    </svg>
  );
}
