// The three charts: what is drawn in each, and how its numbers are written.
import type { Red } from "../api/schema";
import { digits, milliseconds } from "../time";

export interface Series {
  label: string;
  /** The CSS variable with its colour. */
  colour: string;
  fill: boolean;
  width: number;
  values: (red: Red) => (number | null)[];
}

export interface ChartSpec {
  id: "rate" | "errors" | "latency";
  title: string;
  /** What stands beside the title: the unit, or what can be done here. */
  unit: string;
  height: number;
  /** The y axis goes at least up to this. */
  atLeast: number;
  write: (value: number) => string;
  series: Series[];
}

export const CHARTS: ChartSpec[] = [
  {
    id: "rate",
    title: "Rate",
    unit: "requests/s",
    height: 112,
    atLeast: 1,
    write: (value) => `${digits(value)}/s`,
    series: [{ label: "rate", colour: "--rate", fill: true, width: 1.5, values: (red) => red.rate }],
  },
  {
    id: "errors",
    title: "Errors",
    unit: "errors/s",
    height: 96,
    atLeast: 0.1,
    write: (value) => `${digits(value)}/s`,
    series: [{ label: "errors", colour: "--error", fill: true, width: 1.5, values: (red) => red.errors }],
  },
  {
    id: "latency",
    title: "Latency",
    unit: "◆ an exemplar: click it, or e / E and Enter",
    height: 190,
    atLeast: 1,
    write: milliseconds,
    series: [
      { label: "p99", colour: "--p99", fill: false, width: 1.5, values: (red) => red.p99 },
      { label: "p95", colour: "--p95", fill: false, width: 1.5, values: (red) => red.p95 },
      { label: "p50", colour: "--p50", fill: false, width: 1.5, values: (red) => red.p50 },
    ],
  },
];
