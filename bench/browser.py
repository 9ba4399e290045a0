"""Starts the browser that everything is measured in, on the computer's GPU or, where there is none, on SwiftShader."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from playwright.sync_api import Browser, Page, Playwright

from compiler.errors import GemletError
from compiler.setup.chromium import find_chromium

# The last one sends every name to nowhere, so that no engine can be fed from the network.
FLAGS = [
    *("--enable-unsafe-webgpu", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
]
# Linux hides Vulkan, which WebGPU needs there, behind a feature. Drivers of servers offer it no surface to draw on.
VULKAN = ["--enable-features=Vulkan", "--use-angle=vulkan", "--disable-vulkan-surface"] if sys.platform == "linux" else []
ADAPTER_FLAGS = {
    "hardware": [*VULKAN, "--ignore-gpu-blocklist"],
    "swiftshader": ["--use-webgpu-adapter=swiftshader"],
}

# Chromium told to use Vulkan never answers where there is no GPU; one with a GPU does within seconds.
ADAPTER = """async () => {
  const late = new Promise((resolve) => setTimeout(() => resolve(null), 20000));
  const adapter = await Promise.race([navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }), late]);
  if (!adapter) return null;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const words = [vendor, architecture, device, description].filter((word) => word).join(" ");
  return { name: words || "an unnamed GPU", software: isFallbackAdapter || /swiftshader|llvmpipe/i.test(words) };
}"""


@dataclass(frozen=True)
class Adapter:
    """A kind of ADAPTER_FLAGS, the adapter's name in its driver's words, and the browser's version."""

    kind: str
    name: str
    browser: str


def find_adapter(playwright: Playwright, address: str, wanted: str) -> Adapter:
    """The adapter to measure on: a kind of ADAPTER_FLAGS, or "auto" for the first that is there; `address` is any page of
    this computer.

    Raises GemletError where the one that is wanted is missing.
    """
    for kind in ADAPTER_FLAGS if wanted == "auto" else [wanted]:
        browser = launch(playwright, kind)
        try:
            page = open_page(browser, address)
            found = page.evaluate(ADAPTER)
            if found and (kind == "swiftshader" or not found["software"]):
                return Adapter(kind, found["name"], browser.version)
        finally:
            browser.close()
    raise GemletError(
        f"the browser offers no WebGPU adapter of the kind {wanted!r}\n"
        "  what to do: see that the GPU's driver (on Linux: its Vulkan driver) is installed, or take --adapter swiftshader"
    )


def launch(playwright: Playwright, kind: str) -> Browser:
    """A new browser with an empty profile, on an adapter of ADAPTER_FLAGS.

    It has a window for a GPU on Linux where there is a display: without one Chromium's first request for NVIDIA's adapter fails.
    """
    window = kind == "hardware" and sys.platform == "linux" and "DISPLAY" in os.environ
    return playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS, *ADAPTER_FLAGS[kind]], headless=not window)


def open_page(browser: Browser, address: str) -> Page:
    """A page at this address whose calls may take as long as they need."""
    page = browser.new_page()
    page.set_default_timeout(0)
    page.goto(address)
    return page
