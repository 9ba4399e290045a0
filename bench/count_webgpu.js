// Counts what a realm (a page or a worker) asks of WebGPU: an expression that starts the counting, once, and gives the
// counts so far. The wrapped methods stand on the prototypes, so that objects made before and after are counted alike.
(() => {
  if (globalThis.webgpuCounts) return globalThis.webgpuCounts;
  const counts = { dispatches: 0, bind_groups: 0, pipelines: 0, buffers: 0, writes: 0, submits: 0, maps: 0 };
  const wrapped = [
    ["GPUComputePassEncoder", "dispatchWorkgroups", "dispatches"],
    ["GPUComputePassEncoder", "dispatchWorkgroupsIndirect", "dispatches"],
    ["GPUDevice", "createBindGroup", "bind_groups"],
    ["GPUDevice", "createComputePipeline", "pipelines"],
    ["GPUDevice", "createComputePipelineAsync", "pipelines"],
    ["GPUDevice", "createBuffer", "buffers"],
    ["GPUQueue", "writeBuffer", "writes"],
    ["GPUQueue", "submit", "submits"],
    ["GPUBuffer", "mapAsync", "maps"],
  ];
  for (const [type, method, count] of wrapped) {
    const { prototype } = globalThis[type] ?? {};
    if (!prototype) continue; // this realm has no WebGPU
    const original = prototype[method];
    prototype[method] = function (...values) {
      counts[count] += 1;
      return original.apply(this, values);
    };
  }
  globalThis.webgpuCounts = counts;
  return counts;
})();
