"""A plan as text for a terminal."""


PLACES = {"in_gpu_memory": "in it", "outside": "outside it"}


def format_plan(plan: dict) -> str:
    """What `plan_model` returns, as lines."""
    formats = ", ".join(f"{count} {format}" for format, count in plan["quantization"].items())
    skip = plan["macs_per_prompt_token_without_skip"] / plan["macs_per_prompt_token"]
    quantized = ", ".join(f"{format} {size(count)}" for format, count in plan["bytes_by_quantization"].items())
    lines = [
        f"{plan['model']} ({plan['architecture']}), {plan['parameters'] / 1e9:.3f} B parameters, tensors: {formats}",
        f"weights {size(plan['weight_bytes'])} (all in one format: {quantized}), compiled for {plan['context']} tokens",
        "",
        f"a decoded token   {plan['launches_per_decoded_token']} launches, {size(plan['weight_bytes_per_decoded_token'])} of weights read, "
        f"{giga(plan['macs_per_decoded_token'])} multiply-accumulates",
        f"a prompt token    {giga(plan['macs_per_prompt_token'])} multiply-accumulates ({skip:.2f} times as many without the skip)",
        f"distinct kernels  {plan['kernels']}",
        f"memory to build   about {size(plan['build_peak_bytes'])} beside Python and TVM",
    ]
    for place, figures in plan["placements"].items():
        lines += ["", *placement_lines(plan, place, figures)]
    lines += ["", *layer_lines(plan)]
    return "\n".join(lines)


def placement_lines(plan: dict, place: str, figures: dict) -> list[str]:
    """GPU memory by context, and which limits it keeps."""
    title = "GPU memory" if len(plan["placements"]) == 1 else f"GPU memory, per-layer embeddings {PLACES[place]}"
    lines = [title, "    context          KV         all   largest binding"]
    lines += [f"{int(context):11d} {size(plan['kv_bytes'][context]):>11} {size(total):>11} {size(figures['largest_binding_bytes'][context]):>17}"
              for context, total in figures["gpu_bytes"].items()]
    lines.append("  longest context with bindings of at most " + fits(figures["fits_binding"]))
    lines.append("  longest context in GPU memory of         " + fits(figures["fits_memory"]))
    return lines


def fits(longest: dict[str, int]) -> str:
    return ", ".join(f"{limit}: {context or 'none'}" for limit, context in longest.items())


def layer_lines(plan: dict) -> list[str]:
    """A line a layer. KV is that of the longest context; MACs in millions, a decoded token and a prompt token."""
    formats = list(plan["bytes_by_quantization"])
    longest = list(plan["kv_bytes"])[-1]
    kv_title = f"KV at {longest}"
    lines = ["layer  kind     KV from    weights " + "".join(f"{format:>11}" for format in formats)
             + f"  {kv_title:>12}  launches  read a token    M MACs decoded, prompt"]
    for row in plan["layers"]:
        source = "own" if row["kv_source"] == row["layer"] else str(row["kv_source"])
        sizes = "".join(f"{size(row['bytes_by_quantization'][format]):>11}" for format in formats)
        lines.append(f"{row['layer']:5d}  {row['kind'].removesuffix('_attention'):7s}  {source:>7}  {row['parameters'] / 1e6:7.1f} M{sizes}"
                     f"  {size(row['kv_bytes'][longest]):>12}  {row['launches_per_decoded_token']:8d}  {size(row['weight_bytes_per_decoded_token']):>12}"
                     f"  {row['macs_per_decoded_token'] / 1e6:16.1f} {row['macs_per_prompt_token'] / 1e6:7.1f}")
    return lines


def size(count: float) -> str:
    """Bytes for people, in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def giga(count: int) -> str:
    return f"{count / 1e9:.3f} G"
