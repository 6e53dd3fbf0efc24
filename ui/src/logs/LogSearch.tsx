// The log lines of the shown time.
import { ProblemNote } from "../layout/Problem";
import { logs, pages } from "../state/data";
import { go, place, SEVERITIES } from "../state/place";
import { plural } from "../time";
import { LogLines } from "./LogLines";
import { ResultTable } from "./ResultTable";

export function LogFilters() {
  const { logText, severity } = place.value;
  return (
    <>
      <input
        type="search"
        placeholder="words, level>=warn | stats count by service"
        title="words are looked for in bodies and attributes; with operators it is a filter, whose words are looked for in bodies"
        aria-label="filter of lines"
        data-testid="log-text"
        value={logText}
        onInput={(event) => go({ logText: event.currentTarget.value }, "replace")}
      />
      <label>
        at least{" "}
        <select
          data-testid="log-severity"
          value={severity}
          onChange={(event) => {
            const chosen = SEVERITIES.find((word) => word === event.currentTarget.value);
            go({ severity: chosen ?? "" }, "replace");
          }}
        >
          {SEVERITIES.map((word) => (
            <option key={word} value={word}>
              {word === "" ? "any level" : word}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

export function LogList() {
  const { data, problem, loading } = logs.value;
  const lines = data?.lines ?? null;
  return (
    <div class="list" aria-busy={loading}>
      {problem === null ? null : <ProblemNote problem={problem} />}
      {data === null && loading ? <p class="empty">loading…</p> : null}
      {lines !== null && lines.logs.length === 0 ? (
        <p class="empty">no log line in this time fits; choose a longer time, a lower level or another text</p>
      ) : null}
      <LogLines lines={lines?.logs ?? []} />
      {data?.table == null ? null : <ResultTable table={data.table} />}
      {lines?.next == null ? null : (
        <button type="button" class="more-of" onClick={() => (pages.value += 1)}>
          older lines (newest {plural(lines.logs.length, "line")} shown)
        </button>
      )}
    </div>
  );
}
