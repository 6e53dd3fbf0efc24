// Filters with pipes, and the cells of what they make.
import { clockTimeMs, day, duration } from "../time";
import { valueText } from "../trace/Attributes";
import { levelOf } from "./LogLines";

/** Whether something follows a `|` that stands outside quotes: the answer then is a table. */
export function hasPipes(filter: string): boolean {
  return filter.replace(/"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/g, "").includes("|");
}

/** Whether it is only words, without anything that the filter language reads as more. */
export function isPlainText(filter: string): boolean {
  return !/[=<>~|()"'!:]|(^|\s)-\S|(^|\s)(and|or|not)(\s|$)/i.test(filter);
}

/** A cell in words: times, lengths and levels as everywhere on the page. */
export function cellText(column: string, value: unknown): string {
  if (column === "time" && typeof value === "string" && /^\d+$/.test(value)) {
    return `${day(BigInt(value))} ${clockTimeMs(BigInt(value))}`;
  }
  if (typeof value !== "number") return valueText(value);
  if (/^dur$|^(sum|avg|min|max|p\d+)\(dur\)$/.test(column)) return duration(BigInt(Math.round(value)));
  if (column === "level") return levelOf(value);
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(6)));
}
