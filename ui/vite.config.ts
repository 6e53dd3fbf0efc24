import { defineConfig } from "vitest/config";

// `npm run dev` shows the page with the data of a running hub: LIGHTSHIP_HUB=http://127.0.0.1:8080 npm run dev
const hub = process.env["LIGHTSHIP_HUB"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  build: { target: "es2022", modulePreload: { polyfill: false }, reportCompressedSize: false },
  server: { proxy: { "/api": hub, "/healthz": hub } },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
