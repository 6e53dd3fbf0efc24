// One uPlot chart with what lies below its lines (coverage) and above them (exemplars).
import { render, type ComponentChild } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { unzoom, zoom } from "../state/place";
import { cursorStep } from "../state/hover";
import { fromSeconds } from "../time";
import type { ChartSpec } from "./series";

const SYNC = "lightship";
const MIN_DRAG_PX = 6;
const AXIS_WIDTH = 62;
/** All charts of the page: a zoom takes the selection off each of them. */
const plots = new Set<uPlot>();
const NOTHING = { left: 0, top: 0, width: 0, height: 0 };

/** Where things are on the chart, in CSS pixels from the upper left corner of the plotting area. */
export interface Scales {
  x: (seconds: number) => number;
  y: (value: number) => number;
  width: number;
  height: number;
}

export interface Layers {
  under: (scales: Scales) => ComponentChild;
  over: (scales: Scales) => ComponentChild;
  /** The pointer moved over the plotting area (or left it: `null`); coordinates as in `Scales`. */
  point: (at: { x: number; y: number; event: MouseEvent } | null) => void;
  click: (at: { x: number; y: number; event: MouseEvent }) => void;
}

interface Props {
  spec: ChartSpec;
  /** Seconds, and per series one value for each of them. */
  data: uPlot.AlignedData;
  /** First and last second shown. */
  from: number;
  to: number;
  /** The largest value that must be on the chart beside the lines. */
  highest: number;
  layers: Layers;
  /** Whether the time axis is written below the chart. */
  hasTimes: boolean;
}

const css = (variable: string) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();

function fade(variable: string) {
  return (chart: uPlot) => {
    const { top, height } = chart.bbox;
    if (!Number.isFinite(top) || height <= 0) return "transparent";
    const gradient = chart.ctx.createLinearGradient(0, top, 0, top + height);
    // The variables are `#rrggbb`; two more digits are the opacity.
    gradient.addColorStop(0, `${css(variable)}55`);
    gradient.addColorStop(1, `${css(variable)}0a`);
    return gradient;
  };
}

function options(current: { readonly now: Props }, width: number, hooks: uPlot.Hooks.Arrays): uPlot.Options {
  const { spec, hasTimes } = current.now;
  const axis = { stroke: () => css("--dim"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: () => css("--grid"), width: 1 };
  return {
    width,
    height: spec.height + (hasTimes ? 24 : 4),
    padding: [6, 8, hasTimes ? 0 : 4, 0],
    legend: { show: false },
    hooks,
    cursor: {
      sync: { key: SYNC, scales: ["x", null] },
      drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PX },
      points: { size: 7 },
      y: false,
      bind: {
        dblclick: () => () => {
          unzoom();
          return null;
        },
      },
    },
    scales: {
      x: { time: true, range: () => [current.now.from, current.now.to] },
      y: {
        range: (_, __, max) => {
          const top = Math.max(max ?? 0, current.now.highest, spec.atLeast);
          return [0, top * 1.08];
        },
      },
    },
    axes: [
      {
        ...axis,
        grid,
        show: true,
        size: hasTimes ? 24 : 0,
        values: hasTimes
          ? [
              [3600 * 24, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
              [3600, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, null, null, null, null, 1],
              [60, "{HH}:{mm}", null, null, null, null, null, null, 1],
              [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
              [0.001, "{HH}:{mm}:{ss}.{fff}", null, null, null, null, null, null, 1],
            ]
          : () => [],
      },
      { ...axis, grid, size: AXIS_WIDTH, space: 34, values: (_, splits) => splits.map((value) => spec.write(value)) },
    ],
    series: [
      {},
      ...spec.series.map((series): uPlot.Series => ({
        label: series.label,
        stroke: () => css(series.colour),
        width: series.width,
        // A hole in the data is a hole in the line (a lone value between two holes is a point).
        spanGaps: false,
        points: { show: false, filter: lonePoints },
        ...(series.fill ? { fill: fade(series.colour) } : {}),
      })),
    ],
  };
}

/** Values with nothing on either side would not be seen as a line; they are drawn as points. */
function lonePoints(chart: uPlot, series: number): number[] {
  const values = chart.data[series] ?? [];
  const lone: number[] = [];
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) lone.push(index);
  }
  return lone;
}

export function Chart(props: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const current = useRef({ now: props });
  current.current.now = props;

  useEffect(() => {
    const element = holder.current;
    if (element === null) return undefined;
    const state = current.current;
    const below = document.createElement("div");
    const above = document.createElement("div");
    below.className = "layer";
    above.className = "layer";

    const drawLayers = (plot: uPlot) => {
      const ratio = uPlot.pxRatio;
      const scales: Scales = {
        x: (seconds) => plot.valToPos(seconds, "x"),
        y: (value) => plot.valToPos(value, "y"),
        width: plot.bbox.width / ratio,
        height: plot.bbox.height / ratio,
      };
      render(state.now.layers.under(scales), below);
      render(state.now.layers.over(scales), above);
    };
    const plot = new uPlot(
      options(state, element.clientWidth, {
        ready: [
          (plot) => {
            plot.under.append(below);
            plot.over.append(above);
          },
        ],
        draw: [drawLayers],
        setCursor: [
          (plot) => {
            const step = plot.cursor.idx ?? null;
            const isHere = (plot.cursor.left ?? -1) >= 0;
            if (cursorStep.peek() !== (isHere ? step : null)) cursorStep.value = isHere ? step : null;
          },
        ],
        setSelect: [
          (plot) => {
            // The other charts show the selection too; the one that has the pointer zooms.
            const { left, width } = plot.select;
            const isOwn = plot.cursor.event !== undefined && plot.cursor.event !== null;
            if (width < MIN_DRAG_PX || !isOwn) return;
            zoom(fromSeconds(plot.posToVal(left, "x")), fromSeconds(plot.posToVal(left + width, "x")));
            plots.forEach((one) => one.setSelect(NOTHING, false));
          },
        ],
      }),
      state.now.data,
      element,
    );
    chart.current = plot;
    plots.add(plot);

    const at = (event: MouseEvent) => {
      const box = plot.over.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top, event };
    };
    plot.over.addEventListener("mousemove", (event) => state.now.layers.point(at(event)));
    plot.over.addEventListener("mouseleave", () => state.now.layers.point(null));
    plot.over.addEventListener("click", (event) => state.now.layers.click(at(event)));

    const resize = new ResizeObserver(() => {
      if (element.clientWidth > 0) plot.setSize({ width: element.clientWidth, height: plot.height });
    });
    resize.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const repaint = () => plot.redraw(true, true);
    scheme.addEventListener("change", repaint);
    return () => {
      scheme.removeEventListener("change", repaint);
      resize.disconnect();
      render(null, below);
      render(null, above);
      plots.delete(plot);
      plot.destroy();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    chart.current?.setData(props.data, true);
  });

  return <div class="chart" ref={holder} />;
}
