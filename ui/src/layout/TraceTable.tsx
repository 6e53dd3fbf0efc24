// Traces of the shown time, newest first.
import { signal } from "@preact/signals";
import type { TraceSummary } from "../api/schema";
import { pages, traces } from "../state/data";
import { go, linkTo, place } from "../state/place";
import { clockTimeMs, count, day, duration, durationParam, plural } from "../time";
import { ProblemNote } from "./Problem";
import { sorted, type Column, type Order } from "./sort";

export function TraceFilters() {
  const { errorsOnly, minDuration } = place.value;
  const isRead = minDuration === "" || durationParam(minDuration) !== null;
  return (
    <>
      <label>
        <input
          type="checkbox"
          checked={errorsOnly}
          data-testid="errors-only"
          onChange={(event) => go({ errorsOnly: event.currentTarget.checked }, "replace")}
        />{" "}
        errors only
      </label>
      <label>
        at least{" "}
        <input
          class="short"
          placeholder="200ms"
          data-testid="min-duration"
          value={minDuration}
          aria-invalid={!isRead}
          title="a duration, like 200ms or 1.5s"
          onInput={(event) => go({ minDuration: event.currentTarget.value }, "replace")}
        />
      </label>
    </>
  );
}

/** The trace's length against the longest one in sight. */
function Length({ share, isError }: { share: number; isError: boolean }) {
  return <i class={`length ${isError ? "error" : ""}`} style={{ width: `${Math.max(1, share * 100)}%` }} />;
}

function Row({ trace, longest, hasDays }: { trace: TraceSummary; longest: bigint; hasDays: boolean }) {
  const isOpen = place.value.trace === trace.trace_id;
  return (
    <tr
      class={isOpen ? "selected" : ""}
      data-testid="trace-row"
      data-trace={trace.trace_id}
      onClick={(event) => {
        if (!(event.target instanceof HTMLAnchorElement)) go({ trace: trace.trace_id, span: "" });
      }}
    >
      <td class="mono">
        {hasDays ? `${day(trace.start)} ` : ""}
        {clockTimeMs(trace.start)}
      </td>
      <td class="dim clip minor">{trace.root_service}</td>
      <td class="clip wide">
        <a href={linkTo({ trace: trace.trace_id, span: "" })}>
          {trace.root_name === "" ? "(root span not here)" : trace.root_name}
        </a>
      </td>
      <td class="number with-length">
        {duration(trace.duration_ns)}
        <Length share={longest === 0n ? 0 : Number(trace.duration_ns) / Number(longest)} isError={trace.errors > 0} />
      </td>
      <td class="number">{count(trace.spans)}</td>
      <td class={`number ${trace.errors > 0 ? "bad" : "dim"}`}>{count(trace.errors)}</td>
      <td class="number">{count(trace.logs)}</td>
      <td class="dim clip minor">{trace.device}</td>
    </tr>
  );
}

/** By which column the loaded traces are ordered; the hub's own order is newest first. */
const order = signal<Order>({ column: "start", down: true });

const HEADS: [Column, string, string][] = [
  ["start", "start", ""],
  ["root_service", "service", "minor"],
  ["root_name", "root span", ""],
  ["duration_ns", "duration", "number"],
  ["spans", "spans", "number"],
  ["errors", "errors", "number"],
  ["logs", "logs", "number"],
  ["device", "device", "minor"],
];

function Heads() {
  const { column, down } = order.value;
  return (
    <tr>
      {HEADS.map(([name, label, kind]) => (
        <th key={name} class={kind} aria-sort={name !== column ? "none" : down ? "descending" : "ascending"}>
          <button
            type="button"
            class="link head"
            title="order the traces that are shown"
            data-testid={`sort-${name}`}
            onClick={() => (order.value = { column: name, down: name === column ? !down : true })}
          >
            {label}
            {name === column ? (down ? " ▾" : " ▴") : ""}
          </button>
        </th>
      ))}
    </tr>
  );
}

export function TraceTable() {
  const { data, problem, loading } = traces.value;
  const rows = data?.traces ?? [];
  const longest = rows.reduce((most, trace) => (trace.duration_ns > most ? trace.duration_ns : most), 0n);
  const first = rows[0];
  const last = rows.at(-1);
  const hasDays = first !== undefined && last !== undefined && day(first.start) !== day(last.start);
  return (
    <div class="list" aria-busy={loading}>
      {problem === null ? null : <ProblemNote problem={problem} />}
      {data === null && loading ? <p class="empty">loading…</p> : null}
      {data !== null && rows.length === 0 ? (
        <p class="empty">no trace in this time fits; choose a longer time, another service, or fewer filters</p>
      ) : null}
      {rows.length === 0 ? null : (
        <table class="traces" data-testid="traces">
          <thead>
            <Heads />
          </thead>
          <tbody>
            {sorted(rows, order.value).map((trace) => (
              <Row key={trace.trace_id} trace={trace} longest={longest} hasDays={hasDays} />
            ))}
          </tbody>
        </table>
      )}
      {data?.next == null ? null : (
        <button type="button" class="more-of" onClick={() => (pages.value += 1)}>
          older traces (newest {plural(rows.length, "trace")} shown)
        </button>
      )}
    </div>
  );
}
