// The tree of spans over time. Only the rows in sight are in the page, so that thousands of spans scroll smoothly.
import { useEffect, useRef, useState } from "preact/hooks";
import { duration, plural } from "../time";
import { rowsOf, type Node, type Tree } from "./tree";

const ROW = 24;
const SPARE_ROWS = 8;
const TICKS = [0, 0.25, 0.5, 0.75];

interface Props {
  tree: Tree;
  selected: string;
  select: (spanId: string) => void;
}

/** Percent of the trace's time. */
function percent(tree: Tree, time: bigint): number {
  const whole = tree.end - tree.start;
  return whole <= 0n ? 0 : (Number(time - tree.start) / Number(whole)) * 100;
}

export function colourOf(tree: Tree, service: string): string {
  return `var(--service-${(tree.services.indexOf(service) % 8) + 1})`;
}

function Bar({ tree, node }: { tree: Tree; node: Node }) {
  const { span } = node;
  const left = percent(tree, span.start);
  const width = Math.max(percent(tree, span.end) - left, 0);
  const isLate = left > 70;
  const label = (
    <span
      class={`bar-label ${isLate ? "left" : ""}`}
      style={isLate ? { right: `${100 - left}%` } : { left: `${left + width}%` }}
    >
      {duration(span.end - span.start)}
    </span>
  );
  return (
    <div class="bars">
      <div
        class={`bar ${span.status.code}`}
        style={{ left: `${left}%`, width: `max(2px, ${width}%)`, "--colour": colourOf(tree, span.service) }}
      />
      {span.events.map((event, index) => (
        <i
          key={index}
          class={`event-dot ${event.name === "exception" ? "exception" : ""}`}
          style={{ left: `${percent(tree, event.time)}%` }}
          title={`${event.name} at ${duration(event.time - tree.start)}`}
        />
      ))}
      {label}
    </div>
  );
}

function Row(props: Props & { node: Node; top: number; isOpen: boolean; toggle: () => void }) {
  const { tree, node, selected, select, top, isOpen, toggle } = props;
  const { span } = node;
  const isSelected = node.key === selected;
  const isError = span.status.code === "error";
  return (
    <div
      class={`row ${isSelected ? "selected" : ""}`}
      style={{ top: `${top}px` }}
      id={`span-${node.key}`}
      role="treeitem"
      aria-level={node.depth + 1}
      aria-selected={isSelected}
      {...(node.children.length > 0 ? { "aria-expanded": isOpen } : {})}
      data-testid="span-row"
      data-span={span.span_id}
      data-status={span.status.code}
      onClick={() => select(node.key)}
    >
      <div class="name" style={{ "--depth": node.depth, "--colour": colourOf(tree, span.service) }}>
        {node.children.length > 0 ? (
          <button
            type="button"
            class="twisty"
            tabIndex={-1}
            aria-label={isOpen ? "collapse" : `expand ${plural(node.children.length, "child span")}`}
            onClick={(event) => {
              event.stopPropagation();
              toggle();
            }}
          >
            {isOpen ? "▾" : "▸"}
          </button>
        ) : (
          <span class="twisty" />
        )}
        <i class="service-bar" title={span.service} />
        {isError ? (
          <span class="bad icon" title={span.status.message || "error"} aria-label="error">
            ●!
          </span>
        ) : null}
        {node.isOrphan ? (
          <span class="warn icon" title={`its parent ${span.parent_id} is missing`} aria-label="parent missing">
            ⚠
          </span>
        ) : null}
        {node.isCircular ? (
          <span class="warn icon" title="it is its own ancestor" aria-label="circular">
            ↻
          </span>
        ) : null}
        <span class="clip" title={`${span.service} · ${span.name}`}>
          {span.name}
        </span>
        {isOpen || node.children.length === 0 ? null : <span class="dim">+{node.children.length}</span>}
      </div>
      <Bar tree={tree} node={node} />
    </div>
  );
}

export function Waterfall({ tree, selected, select }: Props) {
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const [top, setTop] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = rowsOf(tree, collapsed);
  const index = rows.findIndex((node) => node.key === selected);

  useEffect(() => {
    const element = scroller.current;
    if (element === null || index === -1) return;
    if (index * ROW < element.scrollTop) element.scrollTop = index * ROW;
    const bottom = (index + 1) * ROW - element.clientHeight;
    if (bottom > element.scrollTop) element.scrollTop = bottom;
  }, [selected]);

  const toggle = (id: string) => {
    const next = new Set(collapsed);
    if (!next.delete(id)) next.add(id);
    setCollapsed(next);
  };

  const onKey = (event: KeyboardEvent) => {
    const node = rows[index];
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: -rows.length, End: rows.length };
    const move = moves[event.key];
    if (move !== undefined) {
      const next = rows[Math.min(Math.max(index + move, 0), rows.length - 1)];
      if (next !== undefined) select(next.key);
    } else if (node !== undefined && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const isOpen = !collapsed.has(node.key);
      if (node.children.length > 0 && isOpen === (event.key === "ArrowLeft")) toggle(node.key);
      else if (event.key === "ArrowLeft" && node.span.parent_id !== null && tree.byId.has(node.span.parent_id)) {
        select(node.span.parent_id);
      }
    } else {
      return;
    }
    event.preventDefault();
  };

  const height = scroller.current?.clientHeight ?? 600;
  const first = Math.max(0, Math.floor(top / ROW) - SPARE_ROWS);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + SPARE_ROWS);
  return (
    <div class="waterfall" data-testid="waterfall">
      <div class="ruler" aria-hidden="true">
        <span class="name">{plural(tree.byId.size, "span")}</span>
        <div class="bars">
          {TICKS.map((part) => (
            <span key={part} style={{ left: `${part * 100}%` }}>
              {duration(BigInt(Math.round(Number(tree.end - tree.start) * part)))}
            </span>
          ))}
        </div>
      </div>
      <div
        class="rows"
        ref={scroller}
        role="tree"
        aria-label="spans"
        tabIndex={0}
        aria-activedescendant={selected === "" ? undefined : `span-${selected}`}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={onKey}
      >
        <div class="all" style={{ height: `${rows.length * ROW}px` }}>
          {rows.slice(first, last).map((node, offset) => (
            <Row
              key={node.key}
              tree={tree}
              node={node}
              selected={selected}
              select={select}
              top={(first + offset) * ROW}
              isOpen={!collapsed.has(node.key)}
              toggle={() => toggle(node.key)}
            />
          ))}
        </div>
      </div>
    </div>
  );
}
