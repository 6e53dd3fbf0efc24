// The answers of docs/hub-api.md.
import {
  anything,
  flag,
  list,
  nanos,
  nullable,
  number,
  object,
  oneOf,
  record,
  text,
  value,
  type Decoded,
  type Decoder,
} from "./decode";

const signal = oneOf("traces", "logs", "metrics");
const coverageState = oneOf("complete", "arriving", "held_on_device", "lost", "stopped", "unknown");
const numbers = list(nullable(value));
const attributes = list(object({ key: text, value: anything }));
const scope = object({ name: text, version: text });

const interval = object({
  from: nanos,
  to: nanos,
  state: coverageState,
  late: flag,
  reason: nullable(text),
  records: nullable(number),
});

const completeness = object({
  fraction: number,
  complete: flag,
  devices: list(object({ device: text, signal, state: coverageState, from: nanos, to: nanos, reason: nullable(text) })),
});

export const me = object({ name: nullable(text), role: nullable(text) });

export const services = object({
  services: list(object({ name: text, devices: list(text), operations: list(text) })),
  completeness,
});

export const devices = object({
  devices: list(
    object({
      device: text,
      epoch: text,
      last_contact: nanos,
      connected: flag,
      contact: oneOf("connected", "stopped", "out_of_contact", "unknown"),
      settles_ns: nanos,
      two_agents: flag,
      incomplete: list(object({ signal, state: coverageState, from: nanos, to: nanos, reason: nullable(text) })),
      clock_synchronised: flag,
      lanes: list(object({ lane: text, next: number, next_expected: number, held: number, watermark: nanos })),
    }),
  ),
  refused: list(
    object({ device: nullable(text), address: text, reason: text, error: text, count: number, last: nanos }),
  ),
});

export const coverage = object({
  coverage: list(object({ device: text, signal, intervals: list(interval) })),
});

export const red = object({
  step: nanos,
  times: list(nanos),
  rate: numbers,
  errors: numbers,
  p50: numbers,
  p95: numbers,
  p99: numbers,
  completeness,
});

export const exemplars = object({
  exemplars: list(
    object({
      metric: text,
      service: text,
      device: nullable(text),
      attributes: record,
      time: nanos,
      value: nullable(value),
      trace_id: nullable(text),
      span_id: nullable(text),
      state: oneOf("stored", "on_device", "missing"),
    }),
  ),
  completeness,
});

export const traces = object({
  traces: list(
    object({
      trace_id: text,
      root_service: text,
      root_name: text,
      start: nanos,
      duration_ns: nanos,
      spans: number,
      stored_spans: number,
      errors: number,
      logs: number,
      device: text,
    }),
  ),
  next: nullable(text),
  completeness,
});

const span = object({
  span_id: text,
  parent_id: nullable(text),
  name: text,
  kind: text,
  service: text,
  start: nanos,
  end: nanos,
  status: object({ code: oneOf("unset", "ok", "error"), message: text }),
  attributes,
  events: list(object({ time: nanos, name: text, attributes })),
  links: list(object({ trace_id: text, span_id: text, attributes })),
  scope,
  resource: attributes,
  trace_state: text,
  dropped: object({ attributes: number, events: number, links: number }),
});

export const trace = object({
  trace_id: text,
  device: text,
  spans: list(span),
  stored_spans: number,
  duplicate_spans: number,
  logs: number,
  missing_parents: number,
  completeness,
});

const logLine = object({
  time: nanos,
  observed: nanos,
  severity_number: number,
  severity_text: text,
  body: anything,
  trace_id: nullable(text),
  span_id: nullable(text),
  service: text,
  device: text,
  attributes,
  resource: attributes,
  scope,
});

export const logs = object({ logs: list(logLine), stored: number, next: nullable(text), completeness });

export const table = object({ columns: list(text), rows: list(list(anything)), left_out: number, completeness });

/** Log lines; a table where the filter has pipes. */
export const logsOrTable: Decoder<{ lines: Logs | null; table: Table | null }> = (value, path) =>
  typeof value === "object" && value !== null && "columns" in value
    ? { lines: null, table: table(value, path) }
    : { lines: logs(value, path), table: null };

export type Services = Decoded<typeof services>;
export type Devices = Decoded<typeof devices>;
export type Device = Devices["devices"][number];
export type Refused = Devices["refused"][number];
export type Coverage = Decoded<typeof coverage>["coverage"];
export type Interval = Decoded<typeof interval>;
export type Red = Decoded<typeof red>;
export type Exemplar = Decoded<typeof exemplars>["exemplars"][number];
export type Traces = Decoded<typeof traces>;
export type TraceSummary = Traces["traces"][number];
export type Span = Decoded<typeof span>;
export type Trace = Decoded<typeof trace>;
export type LogLine = Decoded<typeof logLine>;
export type Logs = Decoded<typeof logs>;
export type Table = Decoded<typeof table>;
export type Attributes = Decoded<typeof attributes>;
export type Signal = Decoded<typeof signal>;
export type CoverageState = Decoded<typeof coverageState>;
