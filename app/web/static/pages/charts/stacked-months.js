// @ts-check
// A stacked column for each month, made of HTML links, so that it prints, zooms and opens in tabs.
import { html, useState } from "../preact.js";
import { ticksFor } from "./scale.js";

/** @typedef {{ name: string, style: string, address: (month: string) => string | null }} Series */
/** @typedef {{ month: string, total: number, values: number[], isRunning: boolean }} Column */
/**
 * @typedef {object} Texts
 * @property {(value: number) => string} figure
 * @property {(value: number) => string} axis
 * @property {number} step  The value of one unit; gridlines are at round multiples of it.
 * @property {(fraction: number) => string} percent
 * @property {(month: string) => string} month
 * @property {(month: string) => string} shortMonth
 * @property {(month: string) => string} monthAddress
 */

/**
 * @param {{ series: Series[], columns: Column[], selected: string, unit: string, texts: Texts, listed?: Series[] }} properties
 *   `series` runs from the bottom of a column to its top; `values` has the same order. `listed` are
 *   those that the legend and the table show beside the total.
 */
export function StackedMonths({ series, columns, selected, unit, texts, listed = series }) {
  const [hovered, setHovered] = useState(/** @type {string | null} */ (null));
  const [lit, setLit] = useState(/** @type {number | null} */ (null));
  const ticks = ticksFor(Math.max(...columns.map((column) => column.total)), texts.step);
  const shown = columns.find((column) => column.month === (hovered ?? selected)) ?? columns[columns.length - 1];
  return html`<div class="chart">
      <div class="plot" onMouseLeave=${() => setHovered(null)}>
        <${Gridlines} ticks=${ticks} text=${texts.axis} />
        <ol class=${`columns${lit == null ? "" : " dimmed"}`}>
          ${columns.map(
            (column) => html`<${MonthColumn}
              key=${column.month}
              column=${column}
              series=${series}
              height=${ticks[0]}
              isSelected=${column.month === selected}
              lit=${lit}
              texts=${texts}
              unit=${unit}
              onHover=${() => setHovered(column.month)}
            />`,
          )}
        </ol>
      </div>
      <${Legend} series=${listed} column=${shown} texts=${texts} unit=${unit} onLight=${setLit} />
    </div>
    <${ChartTable} series=${listed} columns=${columns} texts=${texts} unit=${unit} />`;
}

/** @param {{ ticks: number[], text: (value: number) => string }} properties */
function Gridlines({ ticks, text }) {
  return html`<ul class="gridlines" aria-hidden="true">
    ${ticks.map(
      (tick) =>
        html`<li key=${tick} style=${{ bottom: `${(tick / ticks[0]) * 100}%` }}><span>${text(tick)}</span></li>`,
    )}
  </ul>`;
}

/**
 * @param {{ column: Column, series: Series[], height: number, isSelected: boolean, lit: number | null,
 *   texts: Texts, unit: string, onHover: () => void }} properties
 */
function MonthColumn({ column, series, height, isSelected, lit, texts, unit, onHover }) {
  const { month, total, values, isRunning } = column;
  const label = ` ${month.slice(0, 4)}: ${texts.figure(total)} ${unit}${isRunning ? " so far" : ""}`;
  const states = [isSelected ? "selected" : "", isRunning ? "running" : ""].join(" ").trim();
  return html`<li class=${states} onMouseEnter=${onHover}>
    <a
      class="month-link"
      href=${texts.monthAddress(month)}
      data-keep-scroll="yes"
      aria-current=${isSelected ? "true" : null}
      onFocus=${onHover}
      ><span class="short">${texts.shortMonth(month)}</span><span class="visually-hidden">${label}</span></a
    >
    <div class="column" aria-hidden="true">
      <div class="bars" style=${{ height: `${(total / height) * 100}%` }}>
        ${values
          .map((value, index) => ({ value, index, each: series[index] }))
          .filter(({ value, each }) => value > 0 && each)
          .reverse()
          .map(
            ({ value, index, each }) => html`<a
              key=${index}
              class=${`fades ${each.style}${lit === index ? " lit" : ""}`}
              href=${each.address(month) ?? texts.monthAddress(month)}
              tabindex="-1"
              data-keep-scroll="yes"
              title=${`${each.name}, ${texts.month(month)}: ${texts.figure(value)} ${unit}`}
              style=${{ flex: `${value} 1 0` }}
            ></a>`,
          )}
      </div>
    </div>
  </li>`;
}

/**
 * @param {{ series: Series[], column: Column, texts: Texts, unit: string,
 *   onLight: (index: number | null) => void }} properties
 */
function Legend({ series, column, texts, unit, onLight }) {
  const rows = series.map((each, index) => ({ each, index, value: column.values[index] })).reverse();
  return html`<div class="legend">
    <h3><span>${texts.month(column.month)}${column.isRunning ? ", so far" : ""}</span><span>${texts.figure(column.total)} ${unit}</span></h3>
    ${rows.length > 0 &&
    html`<ul onMouseLeave=${() => onLight(null)}>
      ${rows.map(({ each, index, value }) => {
        const address = each.address(column.month);
        const content = html`<i class=${each.style}></i><span class="name" title=${each.name}>${each.name}</span
          ><span class="number">${texts.figure(value)}</span
          ><span class="share">${texts.percent(column.total ? value / column.total : 0)}</span>`;
        return html`<li key=${each.name} onMouseEnter=${() => onLight(index)}>
          ${address ? html`<a href=${address} data-keep-scroll="yes">${content}</a>` : html`<span>${content}</span>`}
        </li>`;
      })}
    </ul>`}
  </div>`;
}

/** @param {{ series: Series[], columns: Column[], texts: Texts, unit: string }} properties */
function ChartTable({ series, columns, texts, unit }) {
  return html`<details class="chart-table">
    <summary>Show these ${columns.length} months as a table</summary>
    <div class="scroll" tabindex="0" role="region" aria-label="The chart as a table">
      <table>
        <thead>
          <tr>
            <th scope="col">Month</th>
            ${series.map((each) => html`<th scope="col" class="number">${each.name}</th>`)}
            <th scope="col" class="number">Total${unit && `, ${unit}`}</th>
          </tr>
        </thead>
        <tbody>
          ${columns.map(
            (column) => html`<tr key=${column.month}>
              <th scope="row">${texts.month(column.month)}${column.isRunning ? ", so far" : ""}</th>
              ${series.map((_, index) => column.values[index]).map((value) => html`<td class="number">${texts.figure(value)}</td>`)}
              <td class="number">${texts.figure(column.total)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
