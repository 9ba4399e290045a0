"""Sites in a browser: small random checkpoints in several shapes and formats, and the default model."""
import pytest
from playwright.sync_api import expect

from compiler.default_site import NAME
from compiler.serve import serving
from tests.fixtures.firefox import firefox  # noqa: F401  (a fixture)
from tests.fixtures.page_answers import patient_page  # noqa: F401  (a fixture)
from tests.fixtures.random_models import CHAT_TEMPLATE, MODELS  # noqa: F401  (also for the tests)
from tests.fixtures.sites import EnginePage, add_model, add_page
from tests.fixtures.wasm_models import wasm_address, wasm_engine, wasm_site  # noqa: F401  (fixtures)

# Milliseconds, in place of Playwright's five seconds: the tests share the cores with each other.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def site(random_models):
    """The site's folder: the page, and every model of MODELS."""
    add_page(random_models)
    return random_models


@pytest.fixture(scope="session")
def address(site):
    with serving(site) as url:
        yield url


@pytest.fixture
def engine(browser, address):
    page = EnginePage(browser, address)
    yield page
    page.close()


@pytest.fixture(scope="session")
def loaded(browser, address):
    """The function (model of MODELS) -> an engine with it. Tests share it, since a load takes some ten seconds of pipelines: they leave it loaded."""
    engines: dict[str, EnginePage] = {}

    def engine_with(model: str) -> EnginePage:
        if model not in engines:
            engines[model] = EnginePage(browser, address)
            engines[model].load(model)
        return engines[model]

    yield engine_with
    for engine in engines.values():
        engine.close()


@pytest.fixture(scope="session")
def default_site(default_model, tmp_path_factory):
    """The folder of a site with the default model alone, as a bare `python build.py` makes it."""
    folder = tmp_path_factory.mktemp("default_site")
    add_model(folder, default_model, NAME, targets=("webgpu", "wasm"))
    add_page(folder)
    return folder


@pytest.fixture(scope="session")
def default_address(default_site):
    with serving(default_site) as url:
        yield url
