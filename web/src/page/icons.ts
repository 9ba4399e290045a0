/** The page's icons. Beside each is a name for screen readers. */

import { svg } from "lit";

const icon = (path: string) => svg`
  <svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true">
    <path d=${path} />
  </svg>
`;

export const listIcon = icon("M4 6h16M4 12h16M4 18h10");
export const newIcon = icon("M12 5v14M5 12h14");
export const moreIcon = icon("M5 12h.01M12 12h.01M19 12h.01");
