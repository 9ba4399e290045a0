/** How full the context is: tokens of the last request and its answer. */

import { html } from "lit";
import { formatCount } from "./format";

export function renderContext(tokens: number, context: number) {
  return html`
    <label class="context muted">
      Context
      <meter min="0" max=${context} high=${context * 0.8} optimum="0" .value=${tokens}></meter>
      ${formatCount(tokens)} of ${formatCount(context)} tokens
    </label>
  `;
}
