// The devices behind the data: connected, or dark since when, and what they hold.
import { hubNow } from "../api/client";
import type { Device, Refused } from "../api/schema";
import { devices } from "../state/data";
import { clockTime, count, moment, plural, span } from "../time";

/** As many chips as fit; the rest is counted. Those that are dark come first. */
const MOST_CHIPS = 6;

export function heldBy(device: Device): number {
  return device.lanes.reduce((sum, lane) => sum + lane.held, 0);
}

function Chip({ device }: { device: Device }) {
  const now = hubNow();
  const held = heldBy(device);
  const word = device.contact === "stopped" ? "stopped" : "dark";
  const since = device.last_contact === 0n ? "never heard of" : `${word} since ${moment(device.last_contact, now)}`;
  const lanes = device.lanes.map(
    (lane) => `${lane.lane}: up to ${clockTime(lane.watermark)}, ${plural(lane.held, "frame")} held`,
  );
  const title = [
    `epoch ${device.epoch}, last contact ${moment(device.last_contact, now)}`,
    device.clock_synchronised ? "clock synchronised" : "clock NOT synchronised: its times may be off",
    ...(device.two_agents ? ["TWO agents say hello under this name: give one of them another device.id"] : []),
    ...device.incomplete.map(
      (lack) =>
        `${lack.signal} ${clockTime(lack.from)}–${clockTime(lack.to)} ${lack.state.replaceAll("_", " ")}` +
        (lack.reason === null ? "" : ` (${lack.reason})`),
    ),
    ...lanes,
  ].join("\n");
  return (
    <span
      class={`chip ${device.connected ? "live" : device.contact === "stopped" ? "stopped" : "dark"}`}
      title={title}
      data-testid="device"
      data-device={device.device}
      data-connected={device.connected}
    >
      <i class="light" />
      <b>{device.device}</b>
      {device.connected ? (
        held > 0 ? (
          <span>draining, {count(held)} held</span>
        ) : (
          <span class="dim">connected</span>
        )
      ) : (
        <span>
          {since}
          {device.last_contact === 0n ? "" : ` (${span(now - device.last_contact)})`}
          {held > 0 ? `, ${count(held)} held` : ""}
        </span>
      )}
      {device.clock_synchronised ? null : <span class="warn">clock?</span>}
      {device.two_agents ? <span class="bad">two agents</span> : null}
      {device.incomplete.length === 0 ? null : <span class="warn">incomplete</span>}
    </span>
  );
}

/** Who was turned away lately: a refused device is in no other list. */
function RefusedNote({ refused }: { refused: Refused[] }) {
  if (refused.length === 0) return null;
  const now = hubNow();
  const lines = refused.slice(0, 20).map((one) => {
    const who = one.device === null ? one.address : `${one.device} (${one.address})`;
    return `${who}: ${one.reason}, ${plural(one.count, "time")}, last ${moment(one.last, now)}: ${one.error}`;
  });
  return (
    <span class="chip dark" data-testid="refused" title={lines.join("\n")}>
      <b class="bad">{count(refused.length)} refused</b>
    </span>
  );
}

export function Devices() {
  const all = [...(devices.value.data?.devices ?? [])];
  all.sort((a, b) => Number(a.connected) - Number(b.connected) || (a.last_contact < b.last_contact ? -1 : 1));
  const connected = all.filter((device) => device.connected).length;
  return (
    <div class="devices" aria-label="devices">
      {all.slice(0, MOST_CHIPS).map((device) => (
        <Chip key={device.device} device={device} />
      ))}
      <RefusedNote refused={devices.value.data?.refused ?? []} />
      {all.length > MOST_CHIPS ? (
        <span class="dim">
          {count(connected)} of {plural(all.length, "device")} connected
        </span>
      ) : null}
    </div>
  );
}
