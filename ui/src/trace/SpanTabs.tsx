// What is known of the selected span, and the log lines of its trace.
import type { ComponentChildren } from "preact";
import type { Span } from "../api/schema";
import { LogLines } from "../logs/LogLines";
import { ProblemNote } from "../layout/Problem";
import { traceLogs } from "../state/data";
import { go, linkTo, place, type Tab } from "../state/place";
import { clockTimeMs, duration, plural } from "../time";
import { Attributes } from "./Attributes";
import type { Node, Tree } from "./tree";

interface Props {
  tree: Tree;
  traceId: string;
  node: Node;
  /** Log lines of the whole trace, as the trace itself says. */
  lines: number;
}

function Events({ tree, span }: { tree: Tree; span: Span }) {
  if (span.events.length === 0) return <p class="empty">this span has no events</p>;
  return (
    <>
      {span.events.map((event, index) => (
        <details key={index} open>
          <summary>
            <b class={event.name === "exception" ? "bad" : ""}>{event.name}</b>{" "}
            <span class="dim">
              {clockTimeMs(event.time)}, {duration(event.time - tree.start)} into the trace
            </span>
          </summary>
          <Attributes list={event.attributes} none="no attributes" />
        </details>
      ))}
    </>
  );
}

function Links({ span }: { span: Span }) {
  if (span.links.length === 0) return <p class="empty">this span links to no other</p>;
  return (
    <>
      {span.links.map((link, index) => (
        <div key={index}>
          <a class="mono" href={linkTo({ trace: link.trace_id, span: link.span_id })}>
            {link.trace_id}
          </a>
          <Attributes list={link.attributes} none="" />
        </div>
      ))}
    </>
  );
}

function Resource({ span }: { span: Span }) {
  return (
    <>
      <Attributes list={span.resource} none="no resource attributes" />
      <p class="dim">
        scope {span.scope.name} {span.scope.version}
      </p>
    </>
  );
}

function TraceLogs({ tree, traceId, node, lines }: Props) {
  const { span } = node;
  const { data, problem, loading } = traceLogs.value;
  const spanOnly = place.value.spanOnly;
  const all = data === null || data.traceId !== traceId ? null : data.logs;
  const shown = all?.filter((line) => !spanOnly || line.span_id === span.span_id) ?? [];
  return (
    <>
      <div class="bar-of-switches">
        <label>
          <input
            type="checkbox"
            checked={spanOnly}
            data-testid="span-only"
            onChange={(event) => go({ spanOnly: event.currentTarget.checked }, "replace")}
          />
          this span only
        </label>
        {all === null ? null : (
          <span class="dim">
            {shown.length === all.length
              ? plural(all.length, "line")
              : `${shown.length} of ${plural(all.length, "line")}`}
          </span>
        )}
      </div>
      {problem === null ? null : <ProblemNote problem={problem} />}
      {all === null && loading ? <p class="empty">loading…</p> : null}
      {all !== null && all.length === 0 ? (
        <p class="empty">{lines === 0 ? "no log line carries this trace id" : `${plural(lines, "line")} on the way`}</p>
      ) : null}
      {all !== null && all.length > 0 && shown.length === 0 ? (
        <p class="empty">
          no log line of this span; the trace has {all.length}:{" "}
          <button type="button" class="link" onClick={() => go({ spanOnly: false }, "replace")}>
            show them
          </button>
        </p>
      ) : null}
      <LogLines
        lines={shown}
        within={{ traceId, spanId: span.span_id, start: tree.start, select: (id) => go({ span: id }, "replace") }}
      />
    </>
  );
}

function SpanFacts({ tree, node }: { tree: Tree; node: Node }) {
  const { span } = node;
  const facts = [
    ["service", span.service],
    ["kind", span.kind],
    ["starts", `+${duration(span.start - tree.start)}`],
    ["takes", duration(span.end - span.start)],
    ["itself", duration(node.selfTime)],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
      <div>
        <dt>span</dt>
        <dd class="mono">{span.span_id}</dd>
      </div>
    </dl>
  );
}

/** The first tab that has something to show. */
export function firstTab(span: Span, lines: number): Tab {
  if (span.attributes.length > 0) return "attributes";
  if (span.events.length > 0) return "events";
  if (lines > 0) return "logs";
  return span.resource.length > 0 ? "resource" : "attributes";
}

export function SpanTabs(props: Props) {
  const { tree, node, lines } = props;
  const { span } = node;
  const dropped = span.dropped;
  const tabs: [Tab, string, ComponentChildren][] = [
    [
      "attributes",
      `Attributes (${span.attributes.length})`,
      <Attributes list={span.attributes} none="this span has no attributes" />,
    ],
    ["events", `Events (${span.events.length})`, <Events tree={tree} span={span} />],
    ["logs", `Logs (${lines})`, <TraceLogs {...props} />],
    ["resource", "Resource", <Resource span={span} />],
    ["links", `Links (${span.links.length})`, <Links span={span} />],
  ];
  const current = place.value.tab === "" ? firstTab(span, lines) : place.value.tab;
  const lost = dropped.attributes + dropped.events + dropped.links;
  return (
    <section class="span-details" aria-label="selected span">
      <header>
        <h3 class="clip" data-testid="span-name" data-span={span.span_id} data-status={span.status.code}>
          {span.name}
        </h3>
        {span.status.code === "error" ? (
          <span class="badge bad">error{span.status.message ? `: ${span.status.message}` : ""}</span>
        ) : null}
      </header>
      <SpanFacts tree={tree} node={node} />
      <div class="tabs" role="tablist">
        {tabs.map(([tab, label]) => (
          <button
            key={tab}
            type="button"
            role="tab"
            id={`tab-${tab}`}
            aria-selected={tab === current}
            aria-controls="tab-panel"
            data-testid={`tab-${tab}`}
            onClick={() => go({ tab }, "replace")}
          >
            {label}
          </button>
        ))}
      </div>
      <div class="tab-panel" role="tabpanel" id="tab-panel" aria-labelledby={`tab-${current}`} tabIndex={0}>
        {tabs.find(([tab]) => tab === current)?.[2]}
        {lost > 0 && current !== "logs" ? (
          <p class="warn">
            the SDK dropped {plural(dropped.attributes, "attribute")}, {plural(dropped.events, "event")} and{" "}
            {plural(dropped.links, "link")} of this span (its limits)
          </p>
        ) : null}
      </div>
    </section>
  );
}
