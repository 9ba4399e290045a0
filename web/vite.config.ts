import { defineConfig } from "vite";

export default defineConfig({
  // Every address is relative, so that the site works from any folder of any host.
  base: "./",
  // `npm run dev` shows the models that `python build.py` serves beside it.
  server: { proxy: { "/models": "http://127.0.0.1:8000" } },
  worker: { format: "es" },
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: "index.html", gemlet: "src/gemlet.ts" },
      // Pages import the engine by its name: it keeps that name, and what it exports.
      preserveEntrySignatures: "strict",
      output: {
        entryFileNames: (chunk) => (chunk.name === "gemlet" ? "gemlet.js" : "assets/[name]-[hash].js"),
      },
    },
  },
});
