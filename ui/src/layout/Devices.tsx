// The devices behind the data: connected, or dark since when, and what they hold.
import { hubNow } from "../api/client";
import type { Device } from "../api/schema";
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
  const since = device.last_contact === 0n ? "never heard of" : `dark since ${moment(device.last_contact, now)}`;
  const lanes = device.lanes.map(
    (lane) => `${lane.lane}: up to ${clockTime(lane.watermark)}, ${plural(lane.held, "frame")} held`,
  );
  const title = [
    `epoch ${device.epoch}, last contact ${moment(device.last_contact, now)}`,
    device.clock_synchronised ? "clock synchronised" : "clock NOT synchronised: its times may be off",
    ...lanes,
  ].join("\n");
  return (
    <span
      class={`chip ${device.connected ? "live" : "dark"}`}
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
      {all.length > MOST_CHIPS ? (
        <span class="dim">
          {count(connected)} of {plural(all.length, "device")} connected
        </span>
      ) : null}
    </div>
  );
}
