// The three charts of a service: one time axis, one cursor, one selection.
import { computed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { hubNow } from "../api/client";
import type { Red } from "../api/schema";
import { coverage, devices, exemplars, red, services, shown, silentSince } from "../state/data";
import { cursorStep, focused, hovered } from "../state/hover";
import { go, place } from "../state/place";
import { clockTime, toSeconds } from "../time";
import { ProblemNote } from "../layout/Problem";
import { BandLayer } from "./BandLayer";
import { bandsOf, type Band } from "./bands";
import { Chart, type Layers, type Scales } from "./Chart";
import { ExemplarLayer, type Placed } from "./ExemplarLayer";
import { diamondsOf, nearest, neighbour, thin, type Diamond } from "./exemplars";
import { CHARTS, type ChartSpec } from "./series";

/** Diamonds closer than this are one column, of which the slowest is shown. */
const COLUMN_PX = 12;

/** The devices that the chosen service sends from; all when none is chosen or known. */
const relevant = computed(() => {
  const name = place.value.service;
  const found = services.value.data?.services.find((service) => service.name === name);
  return found === undefined ? null : new Set(found.devices);
});

export const bands = computed<Band[]>(() => {
  const names = relevant.value;
  const chosen = place.value.device;
  const edges = new Map((devices.value.data?.devices ?? []).map((one) => [one.device, one.settles_ns]));
  const all = (coverage.value.data?.coverage ?? []).filter((one) => chosen === "" || one.device === chosen);
  const wanted = names === null ? all : all.filter((one) => names.has(one.device));
  return bandsOf(wanted, shown.value, hubNow(), edges);
});

const diamonds = computed<Diamond[]>(() => diamondsOf(exemplars.value.data?.exemplars ?? [], place.value.operation));

const EMPTY: number[] = [];

function dataOf(spec: ChartSpec, red: Red | null): uPlot.AlignedData {
  const times = red?.times.map(toSeconds) ?? EMPTY;
  return [times, ...spec.series.map((series) => (red === null ? EMPTY : series.values(red)))] as uPlot.AlignedData;
}

function open(diamond: Diamond): void {
  // Never a dead link: only a stored trace can be opened.
  if (diamond.state !== "stored") return;
  focused.value = diamond.key;
  // The pane comes to lie where the pointer is.
  hovered.value = null;
  go({ trace: diamond.traceId, span: "" });
}

function Readout({ spec, red }: { spec: ChartSpec; red: Red | null }) {
  const step = cursorStep.value;
  const index = step ?? (red === null ? -1 : red.times.length - 1);
  const time = step === null ? undefined : red?.times[step];
  return (
    <header>
      <h2>{spec.title}</h2>
      <span class="dim unit">{spec.unit}</span>
      <span class="values" data-testid={`readout-${spec.id}`}>
        {spec.series.map((series) => {
          const value = step === null ? newest(red, series.values) : red === null ? null : series.values(red)[index];
          return (
            <span key={series.label}>
              <i class="swatch" style={{ background: `var(${series.colour})` }} />
              {spec.series.length > 1 ? `${series.label} ` : ""}
              <b>{value === null || value === undefined ? "–" : spec.write(value)}</b>
            </span>
          );
        })}
        <span class="dim at">
          {time === undefined ? (silentSince.value === null ? "latest" : "not known now") : clockTime(time)}
        </span>
      </span>
    </header>
  );
}

function newest(red: Red | null, values: (red: Red) => (number | null)[]): number | null {
  return red === null ? null : (values(red).findLast((value) => value !== null) ?? null);
}

function OneChart({ spec, hasTimes }: { spec: ChartSpec; hasTimes: boolean }) {
  const window = shown.value;
  const hasExemplars = spec.id === "latency";
  const all = hasExemplars ? diamonds.value : [];
  const placed = useRef<Placed[]>([]);
  const at = useRef<Scales | null>(null);
  const shaded = bands.value;

  const hit = (x: number, y: number) => placed.current[nearest(placed.current, x, y)] ?? null;
  const layers: Layers = {
    under: (scales) => <BandLayer bands={shaded} scales={scales} labelled={spec.id === "rate"} />,
    over: (scales) => {
      at.current = scales;
      if (!hasExemplars) return null;
      const x = (diamond: Diamond) => scales.x(toSeconds(diamond.time));
      const inside = all.filter((diamond) => x(diamond) >= 0 && x(diamond) <= scales.width);
      const column = (time: bigint) => Math.floor(scales.x(toSeconds(time)) / COLUMN_PX);
      placed.current = thin(inside, column, place.peek().trace).map((diamond) => {
        return { diamond, x: x(diamond), y: scales.y(diamond.value) };
      });
      return <ExemplarLayer placed={placed.current} width={scales.width} height={scales.height} />;
    },
    point: (pointer) => {
      if (pointer === null) {
        hovered.value = null;
        return;
      }
      const { x, y, event } = pointer;
      const over = event.currentTarget as HTMLElement;
      const found = hit(x, y);
      over.style.cursor = found?.diamond.state === "stored" ? "pointer" : "";
      if (found !== null) {
        hovered.value = { kind: "exemplar", diamond: found.diamond, x: event.clientX, y: event.clientY };
        return;
      }
      const scales = at.current;
      const band = shaded.find((band) => {
        const left = scales?.x(toSeconds(band.from)) ?? 0;
        return x >= left && x <= (scales?.x(toSeconds(band.to)) ?? 0);
      });
      hovered.value = band === undefined ? null : { kind: "band", band, x: event.clientX, y: event.clientY };
    },
    click: ({ x, y }) => {
      const found = hit(x, y);
      if (found !== null) open(found.diamond);
    },
  };

  useEffect(() => {
    if (!hasExemplars) return undefined;
    const onKey = (event: KeyboardEvent) => {
      const isTyping = event.target instanceof Element && event.target.closest("input, select, textarea") !== null;
      if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      const visible = placed.current.map((one) => one.diamond);
      if (event.key === "e" || event.key === "E") {
        const next = neighbour(visible, focused.peek(), event.key === "e" ? 1 : -1);
        const spot = placed.current.find((one) => one.diamond === next);
        const box = document.querySelector(".chart-latency .u-over")?.getBoundingClientRect();
        if (next === null || spot === undefined || box === undefined) return;
        focused.value = next.key;
        hovered.value = { kind: "exemplar", diamond: next, x: box.left + spot.x, y: box.top + spot.y };
        event.preventDefault();
      } else if (event.key === "Enter" && event.target === document.body) {
        const found = visible.find((diamond) => diamond.key === focused.peek());
        if (found !== undefined) open(found);
      } else if (event.key === "Escape") {
        if (hovered.peek() === null) go({ trace: "", span: "" });
        hovered.value = null;
        focused.value = "";
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const highest = all.reduce((most, diamond) => Math.max(most, diamond.value), 0);
  return (
    <section class={`panel chart-panel chart-${spec.id}`} data-testid={`chart-${spec.id}`} aria-label={spec.title}>
      <Readout spec={spec} red={red.value.data} />
      <Chart
        spec={spec}
        data={dataOf(spec, red.value.data)}
        from={toSeconds(window.from)}
        to={toSeconds(window.to)}
        highest={highest}
        layers={layers}
        hasTimes={hasTimes}
      />
    </section>
  );
}

export function Charts() {
  const problem = red.value.problem ?? exemplars.value.problem ?? coverage.value.problem;
  return (
    <div class="charts">
      {problem === null ? null : <ProblemNote problem={problem} />}
      {CHARTS.map((spec, index) => (
        <OneChart key={spec.id} spec={spec} hasTimes={index === CHARTS.length - 1} />
      ))}
    </div>
  );
}
