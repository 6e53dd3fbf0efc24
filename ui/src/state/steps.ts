// The last step of a chart is still being filled: drawn as it is, it reads as a fall.
import type { Red } from "../api/schema";

/** The answer without the steps that are not over at `now`. */
export function closedSteps(red: Red, now: bigint): Red {
  const open = red.times.findIndex((time) => time + red.step > now);
  if (open === -1) return red;
  const cut = <T>(values: T[]) => values.slice(0, open);
  return {
    ...red,
    times: cut(red.times),
    rate: cut(red.rate),
    errors: cut(red.errors),
    p50: cut(red.p50),
    p95: cut(red.p95),
    p99: cut(red.p99),
  };
}
