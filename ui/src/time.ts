// Times are nanoseconds since the Unix epoch as bigint; numbers only where a chart needs seconds.

export const MICROSECOND = 1_000n;
export const MILLISECOND = 1_000_000n;
export const SECOND = 1_000_000_000n;
export const MINUTE = 60n * SECOND;
export const HOUR = 60n * MINUTE;
export const DAY = 24n * HOUR;

/** Seconds for a chart's axis: exact to the millisecond and better, which is finer than a pixel. */
export function toSeconds(time: bigint): number {
  return Number(time / MICROSECOND) / 1e6;
}

export function fromSeconds(seconds: number): bigint {
  return BigInt(Math.round(seconds * 1e3)) * MILLISECOND;
}

function date(time: bigint): Date {
  return new Date(Number(time / MILLISECOND));
}

const two = (value: number) => String(value).padStart(2, "0");

/** `19:34:22`, in the reader's time zone. */
export function clockTime(time: bigint): string {
  const at = date(time);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `19:34:22.306`. */
export function clockTimeMs(time: bigint): string {
  return `${clockTime(time)}.${String((time / MILLISECOND) % 1000n).padStart(3, "0")}`;
}

/** `2026-11-21`. */
export function day(time: bigint): string {
  const at = date(time);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** `UTC+01:00`, as it was at that time. */
export function zone(time: bigint): string {
  const minutes = -date(time).getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The clock time, with the day in front when it is not today's. */
export function moment(time: bigint, now: bigint): string {
  return day(time) === day(now) ? clockTime(time) : `${day(time)} ${clockTime(time)}`;
}

/** A length of time in three digits: `812 ns`, `1.24 ms`, `504 ms`, `12.5 s`. */
export function duration(ns: bigint): string {
  const size = Math.abs(Number(ns));
  if (size < 1e3) return `${size} ns`;
  if (size < 1e6) return `${digits(size / 1e3)} µs`;
  if (size < 999.5e6) return `${digits(size / 1e6)} ms`;
  if (size < 60e9) return `${digits(size / 1e9)} s`;
  return span(ns);
}

/** A longer stretch: `42 s`, `7 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function span(ns: bigint): string {
  const seconds = Math.round(Math.abs(Number(ns)) / 1e9);
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => seconds >= size);
  const [large, small] = first === -1 ? [units[3], undefined] : [units[first], units[first + 1]];
  if (large === undefined) return `${seconds} s`;
  const whole = Math.floor(seconds / large[0]);
  const rest = small === undefined ? 0 : Math.floor((seconds % large[0]) / small[0]);
  return rest === 0 || small === undefined ? `${whole} ${large[1]}` : `${whole} ${large[1]} ${rest} ${small[1]}`;
}

/** A number with three significant digits and no exponent. */
export function digits(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

/** Milliseconds, as the span metrics have them, with a fitting unit. */
export function milliseconds(value: number): string {
  if (value === 0) return "0 ms";
  return duration(BigInt(Math.round(value * 1e6)));
}

/** `1,465`. */
export function count(value: number): string {
  return value.toLocaleString("en");
}

/** `1 span`, `2 spans`. */
export function plural(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

const DURATION = /^(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)?$/;

/** A duration as the hub reads it, of what a person wrote: `200 ms`, `1.5s`, `200` (milliseconds); `null` for no duration. */
export function durationParam(written: string): string | null {
  const found = DURATION.exec(written.replaceAll(/\s/g, "").replace("µs", "us"));
  return found === null ? null : `${found[1]}${found[2] ?? "ms"}`;
}

const STEPS = [1n, 2n, 5n, 10n, 15n, 20n, 30n, 60n, 120n, 300n, 600n, 900n, 1800n, 3600n, 7200n, 21600n, 86400n];
const MOST_STEPS = 180n;

/** The step of a chart over this much time: whole seconds, at most 180 of them. */
export function stepFor(length: bigint): bigint {
  const found = STEPS.find((step) => step * SECOND * MOST_STEPS >= length);
  return (found ?? 86400n) * SECOND;
}
