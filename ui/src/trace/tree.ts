// Spans as a tree, whatever came: parents that are missing, spans that came twice, circles.
import type { Span } from "../api/schema";

export interface Node {
  /** Its span's id; where several spans of the trace have it, `~2` and so on behind it. */
  key: string;
  span: Span;
  depth: number;
  children: Node[];
  /** Its parent is named but not there. */
  isOrphan: boolean;
  /** It is its own ancestor; the circle is cut here. */
  isCircular: boolean;
  /** Nanoseconds in which none of its children ran. */
  selfTime: bigint;
}

export interface Tree {
  roots: Node[];
  /** By key. */
  byId: Map<string, Node>;
  /** Deepest level, from 0. */
  depth: number;
  start: bigint;
  end: bigint;
  services: string[];
  errors: number;
  missingParents: number;
}

const earlier = (a: Node, b: Node) => {
  if (a.span.start !== b.span.start) return a.span.start < b.span.start ? -1 : 1;
  return a.span.span_id < b.span.span_id ? -1 : 1;
};

const max = (a: bigint, b: bigint) => (a > b ? a : b);
const min = (a: bigint, b: bigint) => (a < b ? a : b);

/** The span's time without the time that its children cover (children may overlap, and outlive their parent). */
function selfTime(node: Node): bigint {
  const { start, end } = node.span;
  let free = max(end - start, 0n);
  let covered = start;
  for (const child of node.children) {
    const from = max(child.span.start, covered);
    const to = min(child.span.end, end);
    if (to > from) {
      free -= to - from;
      covered = to;
    }
  }
  return free;
}

/** An id that is none: spans with it are nobody's parents. */
const NO_ID = /^(0{16})?$/;

/**
 * The parent of a span. Where client and server share an id (Zipkin's B3), the server's span stands below the client's,
 * and a child below the one of its own service.
 */
function parentOf(node: Node, sharing: ReadonlyMap<string, Node[]>): Node | undefined {
  const { span_id, parent_id, kind, service } = node.span;
  if (kind === "server" && !NO_ID.test(span_id)) {
    const client = sharing.get(span_id)?.find((other) => other !== node && other.span.kind === "client");
    if (client !== undefined) return client;
  }
  if (parent_id === null || NO_ID.test(parent_id)) return undefined;
  const named = sharing.get(parent_id) ?? [];
  return (
    named.find((other) => other.span.service === service && other.span.kind === "server") ??
    named.find((other) => other.span.service === service) ??
    named.at(-1)
  );
}

export function buildTree(spans: Span[]): Tree {
  const byId = new Map<string, Node>();
  const sharing = new Map<string, Node[]>();
  for (const span of spans) {
    const same = sharing.get(span.span_id) ?? [];
    const key = same.length === 0 ? span.span_id : `${span.span_id}~${same.length + 1}`;
    const node = { key, span, depth: 0, children: [], isOrphan: false, isCircular: false, selfTime: 0n };
    byId.set(key, node);
    sharing.set(span.span_id, [...same, node]);
  }
  const nodes = [...byId.values()].sort(earlier);
  const roots: Node[] = [];
  for (const node of nodes) {
    const { parent_id, span_id } = node.span;
    const parent = parent_id === span_id ? undefined : parentOf(node, sharing);
    if (parent !== undefined) {
      parent.children.push(node);
      continue;
    }
    node.isCircular = parent_id === span_id;
    node.isOrphan = parent_id !== null && !node.isCircular;
    roots.push(node);
  }
  // A root that is one comes before spans whose parent is missing.
  roots.sort((a, b) => Number(a.isOrphan) - Number(b.isOrphan) || earlier(a, b));

  const seen = new Set<Node>();
  let depth = 0;
  const visit = (root: Node) => {
    const stack = [root];
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      seen.add(node);
      depth = Math.max(depth, node.depth);
      node.children = node.children.filter((child) => !seen.has(child));
      for (const child of node.children) {
        child.depth = node.depth + 1;
        stack.push(child);
      }
    }
  };
  roots.forEach(visit);
  // What no root leads to hangs in a circle: it is cut before its earliest span.
  for (const node of nodes) {
    if (seen.has(node)) continue;
    node.isCircular = true;
    roots.push(node);
    visit(node);
  }
  for (const node of nodes) node.selfTime = selfTime(node);
  return {
    roots,
    byId,
    depth,
    start: nodes.reduce((least, { span }) => min(least, span.start), nodes[0]?.span.start ?? 0n),
    end: nodes.reduce((most, { span }) => max(most, span.end), nodes[0]?.span.end ?? 0n),
    services: [...new Set(nodes.map(({ span }) => span.service))].sort(),
    errors: nodes.filter(({ span }) => span.status.code === "error").length,
    missingParents: nodes.filter((node) => node.isOrphan).length,
  };
}

/** The visible rows, top to bottom: what stands below a collapsed span is left out. */
export function rowsOf(tree: Tree, collapsed: ReadonlySet<string>): Node[] {
  const rows: Node[] = [];
  const stack = [...tree.roots].reverse();
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    rows.push(node);
    if (!collapsed.has(node.key)) stack.push(...[...node.children].reverse());
  }
  return rows;
}

/**
 * The span that most likely tells why this trace is worth a look: the deepest one with an error, else the one that
 * spent the most time itself.
 */
export function tellingSpan(tree: Tree): Node | null {
  const nodes = [...tree.byId.values()];
  const errors = nodes.filter((node) => node.span.status.code === "error");
  if (errors.length > 0) {
    return errors.reduce((best, node) =>
      node.depth > best.depth || (node.depth === best.depth && earlier(node, best) < 0) ? node : best,
    );
  }
  return nodes.reduce<Node | null>(
    (best, node) => (best === null || node.selfTime > best.selfTime ? node : best),
    null,
  );
}
