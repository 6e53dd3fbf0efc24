// Keys and values, as they came.
import type { Attributes as List } from "../api/schema";

/** An attribute's value in one line. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "";
  return JSON.stringify(value);
}

export function Attributes({ list, none }: { list: List; none: string }) {
  if (list.length === 0) return <p class="empty">{none}</p>;
  return (
    <table class="attributes">
      <tbody>
        {list.map(({ key, value }, index) => (
          <tr key={index}>
            <th scope="row">{key}</th>
            <td class={typeof value}>{valueText(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
