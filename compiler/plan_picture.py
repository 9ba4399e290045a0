"""A plan as a picture: a bar a layer, as high as its weights, with arcs from the layers that own KV to those that share it.

The colours follow the reader's preference for light or dark, so that the picture can stand in any page.
"""
from xml.sax.saxutils import escape

STEP, BAR, MARGIN = 20, 14, 24  # pixels from layer to layer, of a bar, around everything
TOP, HEIGHT, DEPTH = 78, 130, 80  # of the heading, the highest bar, the deepest arc
LABELS = 24  # between the bars and the arcs

STYLE = """
svg { font: 13px system-ui, sans-serif; --paper: #ffffff; --ink: #1f2328; --sliding: #2f6fd0; --global: #c4591b }
@media (prefers-color-scheme: dark) { svg { --paper: #0d1117; --ink: #e6edf3; --sliding: #6cabff; --global: #ffa261 } }
text { fill: var(--ink) } .small { font-size: 11px; text-anchor: middle } .title { font-weight: 600; font-size: 15px }
.sliding { --own: var(--sliding) } .full { --own: var(--global) }
rect { stroke: var(--own); stroke-width: 1.5 } .own { fill: var(--own) } .shared { fill: none; stroke-dasharray: 3 2 }
path { fill: none; stroke: var(--own); stroke-width: 1.2; opacity: 0.75 } .paper { fill: var(--paper); stroke: none }
"""


def draw_layers(plan: dict) -> str:
    """What `plan_model` returns, as an SVG document."""
    rows = plan["layers"]
    highest = max(row["parameters"] for row in rows)
    reach = max(row["layer"] - row["kv_source"] for row in rows)
    width = max(2 * MARGIN + STEP * len(rows), 700)
    height = TOP + HEIGHT + LABELS + (DEPTH if reach else 0) + MARGIN
    title = f"{plan['model']}: {len(rows)} layers, {plan['parameters'] / 1e9:.2f} B parameters"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
             f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", f'<rect class="paper" width="{width}" height="{height}"/>',
             f'<text class="title" x="{MARGIN}" y="{MARGIN + 6}">{escape(title)}</text>', *legend(rows, highest)]
    for row in rows:
        parts += bar(row, highest)
    parts += [arc(row, reach) for row in rows if row["kv_source"] != row["layer"]]
    return "\n".join([*parts, "</svg>"]) + "\n"


def style_of(row: dict) -> str:
    """Classes: the kind of layer, and whether it owns its KV."""
    return f"{row['kind'].removesuffix('_attention')} {'own' if row['kv_source'] == row['layer'] else 'shared'}"


def legend(rows: list[dict], highest: int) -> list[str]:
    """A sample of each kind of bar there is."""
    names = {"sliding own": "window, own KV", "full own": "global, own KV", "sliding shared": "window, shares KV", "full shared": "global, shares KV"}
    present = {style_of(row) for row in rows}
    parts, x, y = [], MARGIN, MARGIN + 22
    for style, name in names.items():
        if style in present:
            parts += [f'<rect class="{style}" x="{x}" y="{y}" width="{BAR}" height="{BAR}"/>', f'<text x="{x + BAR + 6}" y="{y + 12}">{name}</text>']
            x += 130 if name.endswith("own KV") else 142
    parts.append(f'<text x="{x}" y="{y + 12}">highest bar {highest / 1e6:.0f} M</text>')
    return parts


def center(layer: int) -> float:
    return MARGIN + STEP * layer + STEP / 2


def bar(row: dict, highest: int) -> list[str]:
    """The layer's bar, with its figures for a pointer that rests on it, and every fifth layer's number."""
    tall = HEIGHT * row["parameters"] / highest
    source = "own KV" if row["kv_source"] == row["layer"] else f"KV of layer {row['kv_source']}"
    about = f"layer {row['layer']}: {row['kind'].replace('_', ' ')}, {source}, {row['parameters'] / 1e6:.1f} M parameters"
    parts = [f'<rect class="{style_of(row)}" x="{center(row["layer"]) - BAR / 2:g}" y="{TOP + HEIGHT - tall:.1f}" width="{BAR}" '
             f'height="{tall:.1f}"><title>{about}</title></rect>']
    if row["layer"] % 5 == 0:
        parts.append(f'<text class="small" x="{center(row["layer"]):g}" y="{TOP + HEIGHT + 16}">{row["layer"]}</text>')
    return parts


def arc(row: dict, reach: int) -> str:
    """From the owner of the KV to the layer that reads it; the further, the deeper. `reach`: layers of the longest arc."""
    start, end, y = center(row["kv_source"]), center(row["layer"]), TOP + HEIGHT + LABELS
    # A quadratic curve goes half as deep as its control point.
    control = y + 2 * DEPTH * (row["layer"] - row["kv_source"]) / reach
    return f'<path class="{style_of(row).split()[0]}" d="M{start:g} {y}Q{(start + end) / 2:g} {control:.1f} {end:g} {y}"/>'
