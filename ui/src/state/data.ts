// What the page shows, each piece following the place and the clock.
import { computed, effect, signal } from "@preact/signals";
import { api, hubNow, type Window } from "../api/client";
import { hasPipes, isPlainText } from "../logs/table";
import { durationParam, MILLISECOND, stepFor } from "../time";
import { load, type Loaded } from "./load";
import { formatRange, place, PRESETS } from "./place";
import { closedSteps } from "./steps";

const REFRESH_MS = 5_000;
/** The span metrics' histogram, which the latency chart is drawn from; its exemplars are the chart's diamonds. */
const LATENCY_METRIC = "traces.span.metrics.duration";
const TRACES_PER_PAGE = 100;
const LOGS_PER_PAGE = 200;

/** Counts the times that the data was asked for again. */
const round = signal(0);
const rangeText = computed(() => formatRange(place.value.range));
/** The range, the same object as long as it means the same: following a link to a trace does not load the charts anew. */
const range = computed(() => {
  void rangeText.value;
  return place.peek().range;
});

/** The time that is shown. It moves with each round while the range is one of the last so many minutes. */
export const shown = computed<Window & { round: number }>(() => {
  const number = round.value;
  const current = range.value;
  if (!("last" in current)) return { ...current, round: number };
  const to = hubNow();
  return { from: to - PRESETS[current.last], to, round: number };
});

/** Whether the hub answers, asked on its own: a long search must not hide that it has gone. */
const pulse = signal(0);

const device = computed(() => place.value.device);
const service = computed(() => place.value.service);
const operation = computed(() => place.value.operation);

/** Who has signed in; nobody has to where the hub asks nobody. */
export const me = load({ key: () => "me", keep: true }, (_, signal) => api.me(signal));
export const devices = load({ key: () => pulse.value, keep: true }, (_, signal) => api.devices(signal));
export const services = load({ key: () => shown.value, keep: true }, (window, signal) => api.services(window, signal));
export const coverage = load({ key: () => shown.value, keep: true }, (window, signal) => api.coverage(window, signal));

/** When the page last heard of the hub, while it hears nothing now; `null` while the hub answers. */
export const silentSince = computed(() => {
  const { problem, at } = devices.value;
  return problem !== null && problem.status === 0 ? (at ?? 0) : null;
});

const charted = () => ({
  window: shown.value,
  service: service.value,
  operation: operation.value,
  device: device.value,
});

export const red = load({ key: charted, keep: true }, async ({ window, ...query }, signal) => {
  const step = stepFor(window.to - window.from);
  // Steps begin at multiples of their length, so that a window that moves on does not change those it has already shown.
  const aligned = { from: window.from - (window.from % step), to: window.to };
  const answer = await api.red(aligned, { ...query, step: `${step / MILLISECOND}ms` }, signal);
  return closedSteps(answer, hubNow());
});

export const exemplars = load({ key: charted, keep: true }, ({ window, ...query }, signal) => {
  const highest_per = `${stepFor(window.to - window.from) / MILLISECOND}ms`;
  return api.exemplars(window, { ...query, name: LATENCY_METRIC, highest_per, limit: 1_000 }, signal);
});

const listed = computed(() => place.value.list);

/** How many pages of the lists are shown; back to one when what is asked for changes. */
export const pages = signal(1);

const traceQuery = computed(() =>
  JSON.stringify([
    place.value.service,
    place.value.operation,
    place.value.errorsOnly,
    place.value.minDuration,
    place.value.device,
  ]),
);

export const traces = load(
  {
    key: () => (listed.value === "traces" ? ([shown.value, traceQuery.value, pages.value] as const) : null),
    keep: true,
  },
  ([window, , pages], signal) => {
    const { service, operation, errorsOnly, minDuration, device } = place.peek();
    const min_duration = durationParam(minDuration) ?? "";
    const limit = pages * TRACES_PER_PAGE;
    const q = ofDevice(device);
    return api.traces(window, { service, operation, q, error: errorsOnly, min_duration, limit }, signal);
  },
);

/** The filter for one device; empty for all. */
export function ofDevice(device: string): string {
  return device === "" ? "" : `device="${device.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

const logQuery = computed(() =>
  JSON.stringify([place.value.service, place.value.logText, place.value.severity, place.value.device]),
);

export const logs = load(
  { key: () => (listed.value === "logs" ? ([shown.value, logQuery.value, pages.value] as const) : null), keep: true },
  ([window, , pages], signal) => {
    const { service, logText, severity, device } = place.peek();
    // A table has no pages, and the order that its pipes give it.
    const paging = hasPipes(logText) ? {} : { limit: pages * LOGS_PER_PAGE, order: "desc" };
    // Words are looked for in bodies and attributes; what has operators is a filter.
    const asked = isPlainText(logText)
      ? { text: logText.trim(), q: ofDevice(device) }
      : { q: `${ofDevice(device)} ${logText}`.trim() };
    return api.logs(window, { service, ...asked, min_severity: severity, ...paging }, signal);
  },
);

const traceId = computed(() => place.value.trace);
/** A trace that was not found, or not whole, is asked for again while the page follows the clock. */
const traceRound = signal(0);

export const trace = load(
  { key: () => (traceId.value === "" ? null : ([traceId.value, traceRound.value] as const)), keep: true },
  ([id], signal) => api.trace(id, signal),
);
export const traceLogs = load(
  { key: () => (traceId.value === "" ? null : ([traceId.value, traceRound.value] as const)), keep: true },
  async ([id], signal) => ({ traceId: id, logs: (await api.logsOfTrace(id, signal)).logs }),
);

const byRange: { peek(): Loaded<unknown> }[] = [services, coverage, red, exemplars, traces, logs];

/** Asks for everything again, unless the round before is still under way. */
export function refresh(): void {
  if (!devices.peek().loading) pulse.value += 1;
  if (byRange.some((piece) => piece.peek().loading)) return;
  round.value += 1;
  const open = trace.peek();
  const isWhole = open.data !== null && open.data.missing_parents === 0 && open.data.completeness.complete;
  if (traceId.peek() !== "" && !open.loading && !isWhole) traceRound.value += 1;
}

/** Keeps the page going: refreshes while `live` and visible. */
export function followClock(): void {
  setInterval(() => {
    if (place.peek().live && document.visibilityState === "visible") refresh();
  }, REFRESH_MS);
  document.addEventListener("visibilitychange", () => {
    if (place.peek().live && document.visibilityState === "visible") refresh();
  });
  effect(() => {
    void [traceQuery.value, logQuery.value, listed.value, range.value];
    pages.value = 1;
  });
}
