// Log lines, one below the other, each with the way to its trace.
import { useMemo, useState } from "preact/hooks";
import type { LogLine } from "../api/schema";
import { linkTo } from "../state/place";
import { clockTimeMs, day, duration } from "../time";
import { Attributes, valueText } from "../trace/Attributes";

/** OpenTelemetry's ranges of severity numbers (logs data model, "Severity Fields"). */
export function levelOf(severity: number): string {
  const names = ["trace", "debug", "info", "warn", "error", "fatal"];
  return severity < 1 ? "unset" : (names[Math.floor((severity - 1) / 4)] ?? "fatal");
}

/** A key for each line that it keeps when others come before it: what is open stays open at the next refresh. */
export function keysOf(lines: LogLine[]): string[] {
  const seen = new Map<string, number>();
  return lines.map((line) => {
    const { time, observed, device, service, trace_id, span_id } = line;
    const text = [time, observed, device, service, trace_id, span_id, valueText(line.body)].join("\n");
    const count = (seen.get(text) ?? 0) + 1;
    seen.set(text, count);
    return `${text}\n${count}`;
  });
}

interface Within {
  traceId: string;
  spanId: string;
  start: bigint;
  select: (spanId: string) => void;
}

interface Props {
  lines: LogLine[];
  /** The open trace, when these are its lines. */
  within?: Within;
}

function Line({ line, within }: { line: LogLine; within: Within | undefined }) {
  const [isOpen, setOpen] = useState(false);
  const level = levelOf(line.severity_number);
  const isElsewhere = line.trace_id !== null && line.trace_id !== within?.traceId;
  const spanId = line.span_id;
  return (
    <li
      class={`line ${level} ${within !== undefined && line.span_id === within.spanId ? "of-span" : ""}`}
      data-testid="log-line"
      data-trace={line.trace_id ?? ""}
      data-span={line.span_id ?? ""}
    >
      <div class="summary">
        <button
          type="button"
          class="twisty"
          aria-expanded={isOpen}
          aria-label="attributes of this line"
          onClick={() => setOpen(!isOpen)}
        >
          {isOpen ? "▾" : "▸"}
        </button>
        <time title={`${day(line.time)} ${clockTimeMs(line.time)}`}>
          {within === undefined ? clockTimeMs(line.time) : `+${duration(line.time - within.start)}`}
        </time>
        <b class={`level ${level}`}>{line.severity_text === "" ? level : line.severity_text.toLowerCase()}</b>
        {within === undefined ? <span class="dim service">{line.service}</span> : null}
        <span class="body">
          {valueText(line.body)}
          {isOpen
            ? null
            : line.attributes.map(({ key, value }) => (
                <span key={key} class="pair">
                  {" "}
                  {key}=<i>{valueText(value)}</i>
                </span>
              ))}
        </span>
        {isElsewhere ? (
          <a
            class="to-trace"
            data-testid="to-trace"
            title="open the trace of this line"
            href={linkTo({ trace: line.trace_id ?? "", span: line.span_id ?? "", tab: "logs" })}
          >
            trace →
          </a>
        ) : null}
        {within !== undefined && spanId !== null && spanId !== within.spanId ? (
          <button
            type="button"
            class="link to-trace"
            title="select the span of this line"
            onClick={() => within.select(spanId)}
          >
            span →
          </button>
        ) : null}
      </div>
      {isOpen ? (
        <div class="more">
          <Attributes list={line.attributes} none="no attributes" />
          <p class="dim">
            {line.device} · {line.scope.name} {line.scope.version} · observed {clockTimeMs(line.observed)}
          </p>
        </div>
      ) : null}
    </li>
  );
}

export function LogLines({ lines, within }: Props) {
  const [wrap, setWrap] = useState(true);
  const keys = useMemo(() => keysOf(lines), [lines]);
  if (lines.length === 0) return null;
  return (
    <div class={`log-lines ${wrap ? "wrap" : ""}`}>
      <label class="wrap-switch">
        <input type="checkbox" checked={wrap} onChange={(event) => setWrap(event.currentTarget.checked)} /> wrap
      </label>
      <ol data-testid="log-lines">
        {lines.map((line, index) => (
          <Line key={keys[index] ?? index} line={line} within={within} />
        ))}
      </ol>
    </div>
  );
}
