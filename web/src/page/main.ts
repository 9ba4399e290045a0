/** The page's entry. */

import "./page.css";
import "./app";
