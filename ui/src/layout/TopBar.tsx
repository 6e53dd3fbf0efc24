// What is looked at: service, operation, time; and whether it follows the clock.
import { computed } from "@preact/signals";
import {
  coverage,
  devices,
  exemplars,
  logs,
  me,
  red,
  refresh,
  services,
  shown,
  silentSince,
  traces,
} from "../state/data";
import { go, place, PRESETS, unzoom, type Preset } from "../state/place";
import { clockTime, day, span, zone } from "../time";
import { Devices } from "./Devices";

const LABELS: Record<Preset, string> = {
  "5m": "5 min",
  "15m": "15 min",
  "1h": "1 h",
  "6h": "6 h",
  "24h": "24 h",
  "7d": "7 d",
  "30d": "30 d",
};

const loading = computed(() => [coverage, exemplars, logs, red, services, traces].some((piece) => piece.value.loading));

/** The names, with the chosen one among them even where the shown time has no data of it. */
function withChosen(names: string[], chosen: string): string[] {
  return chosen === "" || names.includes(chosen) ? names : [chosen, ...names];
}

function Pickers() {
  const { service, operation, device } = place.value;
  const all = (devices.value.data?.devices ?? []).map((one) => one.device).sort();
  const known = services.value.data?.services ?? [];
  const of = known.filter((one) => service === "" || one.name === service);
  const operations = [...new Set(of.flatMap((one) => one.operations))].sort();
  return (
    <>
      <label>
        <span class="dim">service</span>{" "}
        <select
          data-testid="service"
          value={service}
          onChange={(event) => go({ service: event.currentTarget.value, operation: "" })}
        >
          <option value="">all services</option>
          {withChosen(
            known.map((one) => one.name),
            service,
          ).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="dim">device</span>{" "}
        <select
          data-testid="device-filter"
          value={device}
          onChange={(event) => go({ device: event.currentTarget.value })}
        >
          <option value="">all devices</option>
          {withChosen(all, device).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="dim">operation</span>{" "}
        <select
          data-testid="operation"
          value={operation}
          onChange={(event) => go({ operation: event.currentTarget.value })}
        >
          <option value="">all requests</option>
          {withChosen(operations, operation).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

function Ranges() {
  const { range } = place.value;
  const { from, to } = shown.value;
  const isCustom = !("last" in range);
  return (
    <div class="segmented" role="group" aria-label="time range">
      {(Object.keys(PRESETS) as Preset[]).map((preset) => (
        <button
          key={preset}
          type="button"
          aria-pressed={!isCustom && range.last === preset}
          data-testid={`range-${preset}`}
          onClick={() => go({ range: { last: preset } })}
        >
          {LABELS[preset]}
        </button>
      ))}
      {isCustom ? (
        <button
          type="button"
          aria-pressed="true"
          title="back to the time before the zoom"
          data-testid="range-custom"
          onClick={unzoom}
        >
          {day(from) === day(to) ? "" : `${day(from)} `}
          {clockTime(from)}–{clockTime(to)} ({span(to - from)}) ✕
        </button>
      ) : null}
    </div>
  );
}

/** When what is shown was true: the page must not look alive when the hub is not. */
function AsOf() {
  const silent = silentSince.value;
  const at = silent ?? devices.value.at;
  if (at === null || at === 0) return null;
  const time = clockTime(BigInt(at) * 1_000_000n);
  return (
    <span class={silent === null ? "dim" : "bad"} data-testid="as-of" data-silent={silent !== null}>
      as of {time}
      {silent === null ? "" : ": the hub does not answer"}
    </span>
  );
}

function Me() {
  const { data } = me.value;
  if (data === null || data.name === null) return null;
  return (
    <form class="me" method="post" action="sign-out" data-testid="me">
      <span class="dim">
        {data.name} ({data.role})
      </span>{" "}
      <button type="submit" class="link">
        sign out
      </button>
    </form>
  );
}

export function TopBar() {
  const { live } = place.value;
  return (
    <header class="top-bar">
      <a class="brand" href="#" title="Lightship, from the start">
        <img src="./favicon.svg" alt="" width="20" height="20" /> Lightship
      </a>
      <Pickers />
      <Ranges />
      <button
        type="button"
        class={`toggle ${live ? "on" : ""}`}
        aria-pressed={live}
        title="ask the hub again every 5 s"
        data-testid="live"
        onClick={() => {
          go({ live: !live }, "replace");
          if (!live) refresh();
        }}
      >
        <i class={`light ${loading.value ? "busy" : ""}`} /> auto refresh {live ? "on" : "off"}
      </button>
      <AsOf />
      <span class="dim zone">{zone(shown.value.to)}</span>
      <Me />
      <Devices />
    </header>
  );
}
