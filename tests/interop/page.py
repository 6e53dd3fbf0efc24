"""docs/backends.md out of a report."""

HEAD = """\
# Backends

What real backends took of a vessel that was away, each behind a link of its own: {hours:g} hours without a link, with a kill of the agent in
the middle, drained while live data flows. Written by `cargo xtask interop --write` from
[interop.json](results/interop.json); do not edit it by hand. `lightship init --backend` writes destinations for them
([delivery.md](delivery.md) says what each answer means).

| backend | takes | what it needs | found | missing | more than once | first live record | drained |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
Found are data points, log records or spans, asked for at the backend itself. The first live record is counted from the link's return to
when a query shows it. A backend that keeps no more than one value of a series and time, or one span of an id, cannot tell what came twice; Mosquitto hands it on.
"""

PEER = """
## The same outage for the {name}

Its queues in files with fsync, without a bound that matters, retries without an end, OTLP to the same backends, killed in the middle too.

| backend | takes | found | missing | more than once |
|---|---|---|---|---|
"""


def of(report):
    rows = ""
    for one in report["backends"]:
        rows += (
            f"| {one['backend']} {one['version']} | {one['signal']} | {one['needs']} | {one['found']} | {one['missing']} | "
            f"{one['more_than_once']} | {one['first_live_s']} s | {one['drained_s']} s |\n"
        )
    peers = ""
    for peer in report["peers"]:
        peers += PEER.format(name=peer["name"])
        for one in peer["backends"]:
            peers += f"| {one['backend']} {one['version']} | {one['signal']} | {one['found']} | {one['missing']} | {one['more_than_once']} |\n"
    skipped = "".join(f"\nNot tried in this run: {name}.\n" for name in report["skipped"])
    return HEAD.format(hours=report["hours"]) + rows + TAIL + peers + skipped
