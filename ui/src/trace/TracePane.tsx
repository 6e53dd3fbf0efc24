// The right half: one trace.
import { useMemo } from "preact/hooks";
import type { CoverageState, Trace } from "../api/schema";
import { ProblemNote } from "../layout/Problem";
import { trace } from "../state/data";
import { go, place } from "../state/place";
import { clockTimeMs, day, duration, plural, zone } from "../time";
import { SpanTabs } from "./SpanTabs";
import { buildTree, tellingSpan, type Tree } from "./tree";
import { colourOf, Waterfall } from "./Waterfall";

function close(): void {
  go({ trace: "", span: "" });
}

/** Whether all of the trace is here, in words. */
export function completenessOf(trace: Trace, tree: Tree): { isComplete: boolean; words: string } {
  const missing = Math.max(trace.missing_parents, tree.missingParents);
  if (missing > 0) {
    return {
      isComplete: false,
      words: `${plural(missing, "span")} missing ${missing === 1 ? "its parent" : "parents"}`,
    };
  }
  const { complete, devices } = trace.completeness;
  const names = (state: CoverageState) =>
    [...new Set(devices.filter((device) => device.state === state).map((device) => device.device))].join(", ");
  if (!complete && names("held_on_device") !== "") {
    return { isComplete: false, words: `${names("held_on_device")} is dark and may hold more of it` };
  }
  if (!complete && names("arriving") !== "") {
    return { isComplete: false, words: `${names("arriving")} is still sending what it held` };
  }
  if (!complete && names("lost") !== "") {
    const reasons = [...new Set(devices.map((device) => device.reason).filter((reason) => reason !== null))];
    const why = reasons.length === 0 ? "" : ` (${reasons.join(", ")})`;
    return { isComplete: false, words: `${names("lost")} lost records of this time${why}` };
  }
  return { isComplete: true, words: "complete" };
}

function Header({ data, tree }: { data: Trace; tree: Tree }) {
  const root = tree.roots[0]?.span;
  const { isComplete, words } = completenessOf(data, tree);
  return (
    <header class="trace-header">
      <div class="title">
        <h2 class="clip" data-testid="trace-title">
          {root?.name ?? "no spans"}
        </h2>
        <b class="duration">{duration(tree.end - tree.start)}</b>
        <button type="button" class="close" aria-label="close the trace" data-testid="close-trace" onClick={close}>
          ✕
        </button>
      </div>
      <div class="facts-line">
        <span title="start of the trace">
          {day(tree.start)} {clockTimeMs(tree.start)} <span class="dim">{zone(tree.start)}</span>
        </span>
        {tree.errors > 0 ? (
          <span class="badge bad">{plural(tree.errors, "error")}</span>
        ) : (
          <span class="dim">no errors</span>
        )}
        <span class={`badge ${isComplete ? "good" : "warn"}`} data-testid="trace-completeness">
          {isComplete ? "✓ " : "⚠ "}
          {words}
        </span>
        {data.duplicate_spans > 0 ? (
          <span class="badge warn">{plural(data.duplicate_spans, "duplicate")} collapsed</span>
        ) : null}
        <span class="dim">{data.device}</span>
      </div>
      <div class="facts-line">
        {tree.services.map((service) => (
          <span key={service}>
            <i class="swatch" style={{ background: colourOf(tree, service) }} /> {service}
          </span>
        ))}
        <span class="mono dim" data-testid="trace-id">
          {data.trace_id}
        </span>
        {root === undefined ? null : (
          <button
            type="button"
            class="link"
            title="set the charts to this service and operation"
            onClick={() => go({ service: root.service, operation: root.name })}
          >
            show in charts
          </button>
        )}
      </div>
    </header>
  );
}

function Whole({ data }: { data: Trace }) {
  const tree = useMemo(() => buildTree(data.spans), [data]);
  const wanted = tree.byId.get(place.value.span) ?? tellingSpan(tree);
  const select = (span: string) => go({ span }, "replace");
  return (
    <>
      <Header data={data} tree={tree} />
      <Waterfall key={data.trace_id} tree={tree} selected={wanted?.key ?? ""} select={select} />
      {wanted === null ? null : <SpanTabs tree={tree} traceId={data.trace_id} node={wanted} lines={data.logs} />}
    </>
  );
}

export function TracePane() {
  const id = place.value.trace;
  const { data, problem, loading } = trace.value;
  if (id === "") return null;
  const isHere = data !== null && data.trace_id === id;
  return (
    <aside
      class="trace-pane"
      data-testid="trace-pane"
      data-trace={isHere ? id : ""}
      aria-label="trace"
      aria-busy={loading}
    >
      {isHere ? (
        <Whole data={data} />
      ) : (
        <header class="trace-header">
          <div class="title">
            <h2 class="mono clip">{id}</h2>
            <button type="button" class="close" aria-label="close the trace" onClick={close}>
              ✕
            </button>
          </div>
          {problem === null ? <p class="empty">loading…</p> : <ProblemNote problem={problem} />}
        </header>
      )}
    </aside>
  );
}
