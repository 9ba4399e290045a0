"""Fixtures for all tests: one browser a session, the GPU that kernels are tried on, the default model."""
import pytest
from playwright.sync_api import sync_playwright

from compiler.setup.chromium import find_chromium
from tests.fixtures.default_model import default_model  # noqa: F401  (a fixture)
from tests.fixtures.chromium_gpu import ChromiumGpu
from tests.fixtures.npm_package import npm_package  # noqa: F401  (a fixture)
from tests.fixtures.random_models import checkpoints, random_models  # noqa: F401  (fixtures)

# WebGPU on a machine without a GPU: Dawn on SwiftShader, which writes a store for each word of workgroup memory that it is asked to zero, so that
# making a pipeline of attention takes twice as long; without that extension of Vulkan, Dawn's shaders zero it in a loop of their own. The other
# flags keep Chromium off the network.
CHROMIUM_FLAGS = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
                  "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension", "--no-sandbox", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def chromium_gpu(browser):
    page = browser.new_page()
    yield ChromiumGpu(page)
    page.close()


@pytest.fixture(scope="session")
def native_gpu():
    # Only here: every run of pytest imports this file, and that takes a second.
    from tests.fixtures.native_gpu import NativeGpu

    return NativeGpu()


@pytest.fixture(scope="session", params=["chromium", "native"])
def gpu(request):
    """Runs kernels through WebGPU (tests/fixtures/gpu.py): in Chromium, and on Mesa's llvmpipe."""
    return request.getfixturevalue(f"{request.param}_gpu")


def pytest_addoption(parser):
    parser.addoption("--update-picture", action="store_true", help="write docs/page.png from the test of the page")
    parser.addoption("--update-docs", action="store_true", help="write the figures and pictures of docs/models.md")


@pytest.fixture
def update_docs(request) -> bool:
    return request.config.getoption("--update-docs")
