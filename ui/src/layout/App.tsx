// The page: what is looked at on top, charts and lists on the left, the open trace on the right.
import { Charts } from "../charts/Charts";
import { Tooltip } from "../charts/Tooltip";
import { LogFilters, LogList } from "../logs/LogSearch";
import { devices, services, silentSince } from "../state/data";
import { go, linkProblems, place } from "../state/place";
import { TracePane } from "../trace/TracePane";
import { Completeness } from "./Completeness";
import { ProblemNote } from "./Problem";
import { TopBar } from "./TopBar";
import { TraceFilters, TraceTable } from "./TraceTable";

function Lists() {
  const { list } = place.value;
  return (
    <section class="panel lists" aria-label="traces and logs">
      <header>
        <div class="tabs" role="tablist">
          {(["traces", "logs"] as const).map((name) => (
            <button
              key={name}
              type="button"
              role="tab"
              aria-selected={list === name}
              data-testid={`list-${name}`}
              onClick={() => go({ list: name })}
            >
              {name === "traces" ? "Traces" : "Logs"}
            </button>
          ))}
        </div>
        {list === "traces" ? <TraceFilters /> : <LogFilters />}
      </header>
      {list === "traces" ? <TraceTable /> : <LogList />}
    </section>
  );
}

function Welcome() {
  return (
    <section class="panel welcome" data-testid="welcome">
      <h2>no service has sent anything yet</h2>
      <p>Point an OpenTelemetry SDK at the agent on its machine, and the agent at this hub:</p>
      <pre>OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317</pre>
      <p class="dim">
        <code>lightship init</code> writes a commented configuration for the agent; <code>lightship status</code> says
        what it has received and delivered. To see all of it with a simulated vessel: <code>cargo xtask demo</code>
      </p>
    </section>
  );
}

/** Parts of the link that nobody understood: without a word they would lead somewhere else. */
function LinkProblems() {
  const problems = linkProblems.value;
  if (problems.length === 0) return null;
  return (
    <div class="problem" role="alert" data-testid="link-problem">
      <b>this link cannot be read in all its parts:</b> {problems.join("; ")}
      <button type="button" class="link" onClick={() => (linkProblems.value = [])}>
        ✕
      </button>
    </div>
  );
}

export function App() {
  const [known, found] = [devices.value, services.value];
  const isEmpty = known.data?.devices.length === 0 && found.data?.services.length === 0;
  const problem = known.problem ?? found.problem;
  const isSplit = place.value.trace !== "";
  return (
    <>
      <TopBar />
      {problem === null ? null : <ProblemNote problem={problem} ofPage />}
      <LinkProblems />
      <div class={`split ${isSplit ? "open" : ""} ${silentSince.value === null ? "" : "stale"}`}>
        <main>
          <Completeness />
          {isEmpty ? (
            <Welcome />
          ) : (
            <>
              <Charts />
              <Lists />
            </>
          )}
        </main>
        {isSplit ? <TracePane /> : null}
      </div>
      <Tooltip />
    </>
  );
}
