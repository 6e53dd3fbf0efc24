// What went wrong, and what to do about it.
import type { Problem } from "../api/client";

interface Props {
  problem: Problem;
  /** A note of the whole page says when the hub cannot be reached at all; the notes of its parts need not repeat it. */
  ofPage?: boolean;
}

export function ProblemNote({ problem, ofPage = false }: Props) {
  if (problem.status === 0 && !ofPage) return null;
  return (
    <div class="problem" role="alert" data-testid="problem">
      <b>{problem.message}</b>
      {problem.hint === "" ? null : <span> — {problem.hint}</span>}
    </div>
  );
}
