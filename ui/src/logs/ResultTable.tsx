// What the pipes of a filter made of log lines.
import type { Table } from "../api/schema";
import { count } from "../time";
import { cellText } from "./table";

const kind = (value: unknown) => (typeof value === "number" ? "number" : "");

export function ResultTable({ table }: { table: Table }) {
  if (table.rows.length === 0) return <p class="empty">nothing in this time passes; choose a longer time</p>;
  return (
    <>
      <table class="traces results" data-testid="result-table">
        <thead>
          <tr>
            {table.columns.map((column, index) => (
              <th key={index} class={kind(table.rows[0]?.[index])}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {row.map((value, place) => (
                <td key={place} class={kind(value)}>
                  {cellText(table.columns[place] ?? "", value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {table.left_out === 0 ? null : <p class="empty">{count(table.left_out)} more; add “| limit N” to see them</p>}
    </>
  );
}
