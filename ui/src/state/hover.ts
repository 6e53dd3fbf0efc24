// What the pointer or the keyboard is at on the charts.
import { signal } from "@preact/signals";
import type { Band } from "../charts/bands";
import type { Diamond } from "../charts/exemplars";

/** The step under the cursor, shared by the charts; `null` when the pointer is elsewhere. */
export const cursorStep = signal<number | null>(null);

/** What a tooltip stands at, in pixels of the viewport. */
export type Hovered =
  { kind: "exemplar"; diamond: Diamond; x: number; y: number } | { kind: "band"; band: Band; x: number; y: number };

export const hovered = signal<Hovered | null>(null);

/** The exemplar that the keyboard is at, by trace and span; empty for none. */
export const focused = signal("");
