"""What the matrix-vector kernels multiply with: x, made out of what earlier launches left, in workgroup memory.

A norm needs its whole row, so on its own it would be a launch between two products. Here each workgroup of the
consumer finds the norm again from values that lie in the GPU's caches, which costs it a few loads a thread; a launch costs all of
them a wait. In order, with every part but X optional:

    x = rms_norm(X) G0 + rms_norm(M) G1             two branches that are normed apart (a dense MLP and the experts beside it)
    x = (R + rms_norm(x) G2) scale                  the residual stream moves on; one workgroup stores it in H
    x = rms_norm(x) G3 norm_factor                  the norm before the product

or X holds the parts of an attention (compiler/kernels/attention_vector.py), which are added up. The G and, after them,
single numbers lie in one buffer V, so that no kernel binds more than eight.
"""
from dataclasses import dataclass

from tvm.script import tirx as T

from .held_heads import HeldHeads
from .kernel import UNDER_WAY, ceil_div, exact, number_name
from .workgroup_sum import workgroup_sum

# Values of x that a workgroup holds at a time: half of the memory that every adapter offers.
STAGED = 2048


@dataclass(frozen=True)
class VectorInput:
    """How x[K] is made. All float32; K and `offset` are multiples of 4.

    offset: where X starts in its buffer, in values. branches, residual, norm: eps of the steps above, None for a step that is
    not there. scale: 1.0, a number, or "tensor": the first number in V. heads, splits: X holds `splits` parts of an attention of
    `heads` heads, and STATS their peaks and masses; 0 where it does not. head_size, stored_head: values of a head without and with its padding, which
    x leaves out.
    """

    offset: int = 0
    branches: float | None = None
    residual: float | None = None
    scale: float | str = 1.0
    norm: float | None = None
    norm_factor: float = 1.0
    heads: int = 0
    splits: int = 0
    head_size: int = 0
    stored_head: int = 0

    @property
    def kept(self) -> HeldHeads:
        """The heads of X where it holds parts of an attention."""
        return HeldHeads(self.heads, self.stored_head, self.head_size)

    def x_values(self, columns: int) -> int:
        """Of X, for a product of so many columns."""
        return self.heads * (self.stored_head or columns // self.heads) * self.splits if self.heads else self.offset + columns

    @property
    def gains(self) -> int:
        """Vectors of length K at the start of V."""
        return 2 * (self.branches is not None) + (self.residual is not None) + (self.norm is not None)

    @property
    def name(self) -> str:
        """A part of a kernel's name."""
        parts = [f"x{self.offset}" if self.offset else "", f"parts{self.heads}_{self.splits}{self.kept.name}" if self.heads else ""]
        for label in ("branches", "residual", "norm"):
            eps = getattr(self, label)
            parts.append("" if eps is None else number_name(label, eps))
        parts.append(number_name("times", self.norm_factor) if self.norm_factor != 1.0 else "")
        parts.append("scaled" if self.scale == "tensor" else number_name("scale", self.scale) if self.scale != 1.0 else "")
        return "_".join(filter(None, parts))


class StagedInput:
    """Code for one kernel: `columns` of x (padded with zeros to `padded`), made by `threads` threads in chunks of `chunk`.

    stores: whether H takes the residual stream that x joined.
    """

    def __init__(self, source: VectorInput, columns: int, padded: int, threads: int, stores: bool = False):
        self.source, self.columns, self.threads, self.stores = source, columns, threads, stores
        self.chunk = min(STAGED, padded)
        self.chunks = ceil_div(padded, self.chunk)
        self.vectors = columns // 4
        # Places in V, in vectors of four.
        places = iter(range(4))
        self.branch_gains = (next(places), next(places)) if source.branches is not None else None
        self.residual_gain = next(places) if source.residual is not None else None
        self.norm_gain = next(places) if source.norm is not None else None

    def value(self, X, M, R, V, numbers, factors, at, until: str):
        """Vector `at` of x after the step `until`; what the steps divide by is in `factors`."""
        source = self.source
        x = X[source.offset // 4 + at]
        if source.branches is not None:
            first, second = (V[gain * self.vectors + at] for gain in self.branch_gains)
            x = x * first * T.Broadcast(factors[0], 4) + M[at] * second * T.Broadcast(factors[1], 4)
        if source.residual is not None and until != "branches":
            x = R[at] + x * V[self.residual_gain * self.vectors + at] * T.Broadcast(factors[2], 4)
            if source.scale == "tensor":
                x = x * T.Broadcast(numbers[0], 4)
            elif source.scale != 1.0:
                x = x * T.Broadcast(exact(source.scale), 4)
        if source.norm is not None and until == "norm":
            x = x * V[self.norm_gain * self.vectors + at] * T.Broadcast(factors[3], 4)
        return x

    def prepare(self):
        """Inline (X, M, R, V, H, STATS, numbers, factors, partial, block, thread): finds `factors` (local float32[4]), stores H in
        block 0, or leaves the attention's weights in `partial` (workgroup float32)."""
        source, vectors, threads = self.source, self.vectors, self.threads
        rounds = ceil_div(vectors, threads)
        total = workgroup_sum(threads)

        @T.inline
        def inverse_rms(vector, eps, step, factors, partial, thread):
            square = T.alloc_buffer((1,), "float32", scope="local")
            square[0] = T.float32(0)
            for i in T.serial(rounds):
                if i * threads + thread < vectors:
                    x: T.float32x4 = vector(i * threads + thread)
                    square[0] = square[0] + T.call_pure_extern("float32", "dot", x, x)
            total(partial, 0, square[0], square, thread)
            factors[step] = T.float32(1) / T.sqrt(square[0] / T.float32(self.columns) + exact(eps))

        @T.inline
        def weigh_parts(STATS, partial, thread):
            # A thread writes here what others have set to zero.
            T.tvm_storage_sync("shared")
            for i in T.serial(ceil_div(source.heads, threads)):
                head: T.int32 = i * threads + thread
                if head < source.heads:
                    peak: T.float32 = T.float32(-3.0e38)
                    mass: T.float32 = T.float32(0)
                    for s in T.serial(source.splits):
                        peak = T.max(peak, STATS[(s * source.heads + head) * 2])
                    for s in T.serial(source.splits):
                        place = T.meta_var((s * source.heads + head) * 2)
                        partial[s * source.heads + head] = STATS[place + 1] * T.exp(STATS[place] - peak)
                        mass = mass + partial[s * source.heads + head]
                    for s in T.serial(source.splits):
                        # Of a part without mass nothing was stored.
                        weight: T.float32 = T.exp(STATS[(s * source.heads + head) * 2] - peak) / mass
                        partial[s * source.heads + head] = T.Select(STATS[(s * source.heads + head) * 2 + 1] > T.float32(0), weight, T.float32(0))
            T.tvm_storage_sync("shared")

        @T.inline
        def make(X, M, R, V, H, STATS, numbers, factors, partial, block, thread):
            if source.heads > 0:
                weigh_parts(STATS, partial, thread)
            if source.branches is not None:
                inverse_rms(lambda at: X[source.offset // 4 + at], source.branches, 0, factors, partial, thread)
                inverse_rms(lambda at: M[at], source.branches, 1, factors, partial, thread)
            if source.residual is not None:
                inverse_rms(lambda at: self.value(X, M, R, V, numbers, factors, at, "branches"), source.residual, 2, factors, partial, thread)
                if self.stores and block == 0:
                    for i in T.serial(rounds):
                        if i * threads + thread < vectors:
                            H[i * threads + thread] = self.value(X, M, R, V, numbers, factors, i * threads + thread, "residual")
            if source.norm is not None:
                inverse_rms(lambda at: self.value(X, M, R, V, numbers, factors, at, "residual"), source.norm, 3, factors, partial, thread)
                if source.norm_factor != 1.0:
                    factors[3] = factors[3] * exact(source.norm_factor)

        return make

    def stage(self, change=None):
        """Inline (X, M, R, V, numbers, factors, partial, staged: workgroup float32x4, chunk, thread): x's chunk; barriers around it.
        change: Python function of a vector of x, applied last."""
        source, vectors, threads = self.source, self.vectors, self.threads
        size = self.chunk // 4
        head_vectors = vectors // source.heads if source.heads else 0

        def held_part(s):
            """The part to load for step `s` of a loop whose last steps may lie beyond the parts."""
            return T.min(s, source.splits - 1)

        @T.inline
        def add_parts(X, partial, at, out):
            # Several loads are under way at a time, those of parts without weight for nothing; where none has any, as beyond a conversation's
            # end, there are no loads.
            weights = T.alloc_buffer((UNDER_WAY,), "float32", scope="local")
            parts = T.alloc_buffer((UNDER_WAY,), "float32x4", scope="local")
            most = T.alloc_buffer((1,), "float32", scope="local")
            out[0] = T.Broadcast(T.float32(0), 4)
            for some in T.serial(ceil_div(source.splits, UNDER_WAY)):
                most[0] = T.float32(0)
                for i in T.unroll(UNDER_WAY):
                    s = T.meta_var(some * UNDER_WAY + i)
                    weights[i] = T.Select(s < source.splits, partial[held_part(s) * source.heads + at // head_vectors], T.float32(0))
                    most[0] = T.max(most[0], weights[i])
                if most[0] > T.float32(0):
                    for i in T.unroll(UNDER_WAY):
                        parts[i] = X[held_part(some * UNDER_WAY + i) * vectors + at]
                    for i in T.unroll(UNDER_WAY):
                        if weights[i] > T.float32(0):
                            out[0] = out[0] + parts[i] * T.Broadcast(weights[i], 4)

        @T.inline
        def add_padded_parts(X, partial, at, out):
            # Value by value: neighbours may be of two heads, and lie in two vectors.
            values = T.alloc_buffer((4,), "float32", scope="local")
            held = T.alloc_buffer((4,), "float32", scope="local")
            for lane in T.unroll(4):
                values[lane] = T.float32(0)
                column: T.int32 = at * 4 + lane
                if column < source.kept.values:
                    head: T.int32 = column // source.head_size
                    place: T.int32 = head * source.stored_head + source.kept.stored_at(column % source.head_size)
                    for s in T.serial(source.splits):
                        weight: T.float32 = partial[s * source.heads + head]
                        if weight > T.float32(0):
                            held[T.Ramp(0, 1, 4)] = X[s * (source.heads * source.stored_head // 4) + place // 4]
                            values[lane] = values[lane] + held[place % 4] * weight
            out[0] = values[T.Ramp(0, 1, 4)]

        @T.inline
        def fill(X, M, R, V, numbers, factors, partial, staged, chunk, thread):
            made = T.alloc_buffer((1,), "float32x4", scope="local")
            if self.chunks > 1:
                T.tvm_storage_sync("shared")
            for i in T.serial(ceil_div(size, threads)):
                place: T.int32 = i * threads + thread
                if place < size:
                    made[0] = T.Broadcast(T.float32(0), 4)
                    if chunk * size + place < vectors:
                        if source.heads > 0 and source.kept.is_padded:
                            add_padded_parts(X, partial, chunk * size + place, made)
                        elif source.heads > 0:
                            add_parts(X, partial, chunk * size + place, made)
                        else:
                            made[0] = self.value(X, M, R, V, numbers, factors, chunk * size + place, "norm")
                        if change is not None:
                            made[0] = change(made[0])
                    staged[place] = made[0]
            T.tvm_storage_sync("shared")

        return fill
