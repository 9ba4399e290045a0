"""What shaders and launches need of a device, by WebGPU's own names of limits, and that no kernel needs more than every device offers."""
import re
from collections.abc import Iterable

from ..errors import GemletError
from ..kernels.kernel import MAX_SHARED_BYTES, MAX_THREADS

MAX_GRID = 65535
# WebGPU's defaults, which every adapter offers, of all limits that a kernel's code can reach.
DEFAULTS = {
    "maxStorageBuffersPerShaderStage": 8, "maxComputeInvocationsPerWorkgroup": MAX_THREADS, "maxComputeWorkgroupSizeX": 256,
    "maxComputeWorkgroupSizeY": 256, "maxComputeWorkgroupSizeZ": 64, "maxComputeWorkgroupStorageSize": MAX_SHARED_BYTES}
WORKGROUP_VARIABLE = re.compile(r"var<workgroup> (\w+) : ([^;]+);")
ARRAY = re.compile(r"array<(?:vec(\d)<)?(f32|i32|u32|f16)>?, (\d+)>")


def shared_bytes(wgsl: str) -> int:
    """Bytes of workgroup memory that a shader declares, as WebGPU counts them. GemletError for a type that none of our kernels has."""
    total = 0
    for name, declared in WORKGROUP_VARIABLE.findall(wgsl):
        found = ARRAY.fullmatch(declared)
        if not found:
            raise GemletError(f"workgroup memory {name} is {declared}; compiler/emit/limits.py must learn its size")
        lanes, scalar, count = int(found[1] or 1), found[2], int(found[3])
        # A vector of three takes the room of four; a variable is rounded up to 16 bytes.
        total += -(-(2 if scalar == "f16" else 4) * (4 if lanes == 3 else lanes) * count // 16) * 16
    return total


def shader_needs(bindings: int, workgroup: tuple[int, int, int], wgsl: str) -> dict[str, int]:
    """The limits of DEFAULTS that one shader needs."""
    x, y, z = workgroup
    return {"maxStorageBuffersPerShaderStage": bindings, "maxComputeInvocationsPerWorkgroup": x * y * z, "maxComputeWorkgroupSizeX": x,
            "maxComputeWorkgroupSizeY": y, "maxComputeWorkgroupSizeZ": z, "maxComputeWorkgroupStorageSize": shared_bytes(wgsl)}


def check_needs(kernel: str, needs: dict[str, int]) -> None:
    """GemletError that names the kernel and each limit of which it needs more than every device offers."""
    over = [f"{name}: needed {needs[name]}, offered by every device {most}" for name, most in DEFAULTS.items() if needs[name] > most]
    if over:
        raise GemletError(f"kernel {kernel}: {'; '.join(over)}")


def largest(needs: Iterable[dict[str, int]]) -> dict[str, int]:
    """Of each limit the largest need."""
    found: dict[str, int] = {}
    for each in needs:
        for name, needed in each.items():
            found[name] = max(needed, found.get(name, 0))
    return found
