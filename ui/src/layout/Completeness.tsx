// How complete the shown time is: a banner while something is missing, a small chip when all of it came, if late.
import { devices, refresh, silentSince } from "../state/data";
import { bands } from "../charts/Charts";
import { summarise } from "../charts/bands";
import { sentence } from "../charts/Tooltip";
import { count, span } from "../time";
import { heldBy } from "./Devices";

const MOST_NAMED = 3;

export function Completeness() {
  const { incomplete, worst, entries, late } = summarise(bands.value);
  const known = devices.value.data?.devices ?? [];
  if (silentSince.value !== null) {
    return (
      <div class="banner unknown" role="status" data-testid="banner" data-worst="unknown">
        the hub does not answer: how complete this is now is not known
      </div>
    );
  }
  if (worst === null) {
    return late === 0n ? null : (
      <div class="chip good" role="status" data-testid="late-chip">
        ✓ complete; {span(late)} arrived late
      </div>
    );
  }
  // One sentence per device: the worst of it.
  const sentences = incomplete
    .map((device) => entries.find((entry) => entry.device === device))
    .filter((entry) => entry !== undefined);
  const held = known
    .filter((device) => incomplete.includes(device.device))
    .reduce((sum, device) => sum + heldBy(device), 0);
  return (
    <div class={`banner ${worst}`} role="status" data-testid="banner" data-worst={worst}>
      <span>
        <b>
          {count(incomplete.length)} of {count(Math.max(known.length, incomplete.length))}{" "}
          {known.length === 1 ? "device" : "devices"} incomplete in this range:
        </b>{" "}
        {sentences.slice(0, MOST_NAMED).map(sentence).join("; ")}
        {sentences.length > MOST_NAMED ? `; and ${count(sentences.length - MOST_NAMED)} more` : ""}
        {held > 0 ? `; ${count(held)} frames known to be held` : ""}
        {late > 0n ? `; ${span(late)} arrived late` : ""}
      </span>
      <button type="button" class="link" onClick={refresh}>
        refresh
      </button>
    </div>
  );
}
