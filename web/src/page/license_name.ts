/** The name of a licence, with a link where it has an address on the web. */

import { html } from "lit";
import type { License } from "../artifact/manifest";
import { webAddress } from "./format";

export function renderLicenseName({ name, url }: License) {
  const address = webAddress(url);
  return address ? html`<a href=${address} target="_blank" rel="noopener noreferrer">${name}</a>` : html`${name}`;
}
