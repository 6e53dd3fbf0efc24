// The order of a table's rows.
import type { TraceSummary } from "../api/schema";

export type Column = "start" | "root_service" | "root_name" | "duration_ns" | "spans" | "errors" | "logs" | "device";

export interface Order {
  column: Column;
  /** The largest (or last in the alphabet) first. */
  down: boolean;
}

/** The traces in this order; those that are equal stay as they were. */
export function sorted(traces: TraceSummary[], { column, down }: Order): TraceSummary[] {
  const compare = (a: TraceSummary, b: TraceSummary) => {
    const [left, right] = [a[column], b[column]];
    if (typeof left === "string" && typeof right === "string") return left.localeCompare(right);
    return left < right ? -1 : left > right ? 1 : 0;
  };
  return [...traces].sort((a, b) => (down ? compare(b, a) : compare(a, b)));
}
