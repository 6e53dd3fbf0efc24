// Data that follows a key: loaded again when the key changes, with what is on its way called off.
import { effect, signal, type ReadonlySignal } from "@preact/signals";
import { Problem } from "../api/client";

export interface Loaded<T> {
  data: T | null;
  problem: Problem | null;
  loading: boolean;
  /** When the data came, in milliseconds of this browser's clock; `null` before it did. */
  at: number | null;
}

export interface Source<K> {
  /** What decides whether to load again; `null` for nothing to load. Compared as JSON. */
  key: () => K | null;
  /** Whether data of the former key stays until the new one's is there (charts), or goes at once (another trace). */
  keep: boolean;
}

const written = (key: unknown) =>
  JSON.stringify(key, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(error instanceof Error ? error.message : String(error), "reload the page", 0);
}

export function load<K, T>(
  source: Source<K>,
  request: (key: K, signal: AbortSignal) => Promise<T>,
): ReadonlySignal<Loaded<T>> {
  const state = signal<Loaded<T>>({ data: null, problem: null, loading: false, at: null });
  let running: AbortController | null = null;
  let last = "";
  effect(() => {
    const key = source.key();
    const text = written(key);
    if (text === last) return;
    last = text;
    running?.abort();
    running = null;
    const before = state.peek();
    if (key === null) {
      state.value = { data: null, problem: null, loading: false, at: null };
      return;
    }
    const control = new AbortController();
    running = control;
    state.value = { ...(source.keep ? before : { data: null, problem: null, at: null }), loading: true };
    const settle = (result: Omit<Loaded<T>, "loading">) => {
      if (running !== control) return;
      running = null;
      state.value = { ...result, loading: false };
    };
    request(key, control.signal).then(
      (data) => settle({ data, problem: null, at: Date.now() }),
      (error: unknown) => settle({ data: state.peek().data, problem: asProblem(error), at: state.peek().at }),
    );
  });
  return state;
}
