"""Loads and unloads in a row leave no worker, no GPU buffer and no device behind."""
import pytest

from tests.fixtures.sites import EnginePage, add_trimmed
from tests.fixtures.waiting import wait_until
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

ROUNDS = 20
# Keeps the page's account of buffers and devices that were made and not destroyed, by message, since the worker ends with the engine.
ACCOUNT = """
const channel = new BroadcastChannel("gpu");
const alive = { buffers: 0, devices: 0 };
const tell = (what, change) => { alive[what] += change; channel.postMessage(alive); };
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...request) {
  const device = await requestDevice.apply(this, request);
  tell("devices", 1);
  const { createBuffer, destroy } = device;
  device.createBuffer = (...spec) => {
    const buffer = createBuffer.apply(device, spec);
    tell("buffers", 1);
    const { destroy } = buffer;
    let counts = true;
    buffer.destroy = () => { if (counts) tell("buffers", -1); counts = false; destroy.call(buffer); };
    return buffer;
  };
  device.destroy = () => { tell("devices", -1); destroy.call(device); };
  return device;
};
"""
LISTEN = """() => {
    globalThis.account = { messages: 0 };
    new BroadcastChannel("gpu").onmessage = ({ data }) => { account = { ...data, messages: account.messages + 1 }; };
}"""


@pytest.fixture
def engine(browser, wasm_site, wasm_address):
    """With one kernel of the small model: what is loaded and freed is all of it but the pipelines, which take long."""
    add_trimmed(wasm_site / "models" / MODEL)
    engine = EnginePage(browser, wasm_address)
    hook_workers(engine.page, ACCOUNT)
    engine.page.evaluate(LISTEN)
    yield engine
    engine.close()


def test_twenty_loads_and_unloads_leave_no_worker_buffer_or_device_behind(engine):
    made = []
    for _ in range(ROUNDS):
        engine.load("trimmed", backend="webgpu", tuning="off")
        assert len(engine.page.workers) == 1
        made.append(engine.page.evaluate("account.buffers"))
        engine.page.evaluate("engine.unload().then(() => { globalThis.engine = undefined; })")
        wait_until(engine.page, (0, 0, 0), lambda: (len(engine.page.workers), *engine.page.evaluate("[account.buffers, account.devices]")))
    assert made[0] > 50 and set(made) == {made[0]}
