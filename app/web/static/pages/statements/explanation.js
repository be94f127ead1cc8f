// @ts-check
// Why a line has its amount.
import { useQuery } from "../api.js";
import { html } from "../preact.js";
import { Placeholder, Problem, ShowQuery } from "../ui/parts.js";
import { EXPLANATION } from "./queries.js";

/** @type {Record<string, string>} */
const LEVELS = { RATE: "All lines of this rate", COST_CENTRE: "Those of this cost centre", LINE: "This line" };

/** @param {{ id: string, money: (value: number) => string }} properties */
export function Explanation({ id, money }) {
  const variables = { charge: id };
  const { data, error, retry } = useQuery(EXPLANATION, variables);
  if (error) return html`<${Problem} error=${error} retry=${retry} />`;
  if (!data) return html`<p><${Placeholder} width="30ch" /></p>`;
  const { line, numerator, denominator, rounding, parts, events } = data.explain;
  return html`<div class="explanation">
    <p>${line.quantity} ${line.unit} (${numerator} / ${denominator}) × ${line.price} = ${line.exactAmount}</p>
    <ul>
      ${rounding.map(
        (/** @type {{ level: string, exactAmount: string, amount: string }} */ each) =>
          html`<li key=${each.level}>${LEVELS[each.level]}: ${each.exactAmount}, booked ${money(Number(each.amount))}</li>`,
      )}
    </ul>
    ${parts.length > 0 &&
    html`<p>
      It consists of
      ${parts.map(
        (/** @type {{ name: string, quantity: string, unit: string, amount: string | null }} */ each, /** @type {number} */ index) =>
          html`${index > 0 ? ", " : " "}${each.name}: ${each.quantity} ${each.unit}${each.amount == null ? "" : ` (${money(Number(each.amount))})`}`,
      )}
    </p>`}
    <p class="quiet">
      ${events.length === 0 ? "No event" : events.length === 1 ? "1 event" : `The latest ${events.length} events`}${" "}
      <${ShowQuery} of="the explanation with its events" query=${EXPLANATION} variables=${variables} />
    </p>
  </div>`;
}
