// Prints what the page weighs over the wire, and fails when it outgrows its budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 100 * 1024;
const dist = new URL("../dist/", import.meta.url).pathname;

let total = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  total += bytes;
  console.log(`${(bytes / 1024).toFixed(1).padStart(7)} KiB gzip  ${path.slice(dist.length)}`);
}
console.log(`${(total / 1024).toFixed(1).padStart(7)} KiB gzip  in all (budget ${BUDGET_BYTES / 1024} KiB)`);
if (total > BUDGET_BYTES) {
  console.error("the page outgrew its budget");
  process.exit(1);
}
