// What went wrong, and what to do about it.
import type { Problem } from "../api/client";

export function ProblemNote({ problem }: { problem: Problem }) {
  return (
    <div class="problem" role="alert" data-testid="problem">
      <b>{problem.message}</b>
      {problem.hint === "" ? null : <span> — {problem.hint}</span>}
    </div>
  );
}
