import { defineConfig } from "vite";
import { Packages } from "./notices.mjs";
import { pageFiles } from "./page_files.mjs";
import { restartableLibrary } from "./restartable_library.mjs";

const NAMED = new Set(["gemlet", "gemlet-chat", "service-worker"]);

const ENGINE = { gemlet: "src/gemlet.ts", "gemlet-chat": "src/embed/gemlet_chat.ts" };
const SITE = { index: "index.html", "service-worker": "src/offline/service_worker.ts", ...ENGINE };

const packages = new Packages();

/** The site, or in the mode "package" what npm publishes (make_package.mjs). */
export default defineConfig(({ mode }) => ({
  // Every address is relative, so that the site works from any folder of any host.
  base: "./",
  publicDir: mode === "package" ? "npm" : "public",
  // `npm run dev` shows the models that `python build.py` serves beside it.
  server: { proxy: { "/models": "http://127.0.0.1:8000" } },
  worker: { format: "es", plugins: () => [restartableLibrary(), packages.ofWorker()] },
  optimizeDeps: { rolldownOptions: { plugins: [restartableLibrary()] } },
  plugins: mode === "package" ? [packages.notices()] : [packages.notices(), pageFiles()],
  build: {
    target: "es2023",
    // light-dark() stays as it is, so that a page which sets color-scheme sets it for the element too.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: { polyfill: false },
    // A page's Content-Security-Policy need not allow data: addresses.
    assetsInlineLimit: 0,
    rollupOptions: {
      input: mode === "package" ? ENGINE : SITE,
      // Pages import the engine and the element by their names, and browsers find the service worker by its own: they keep these, and what they export.
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: (chunk) => (NAMED.has(chunk.name) ? "[name].js" : "assets/[name]-[hash].js"),
      },
    },
  },
}));
