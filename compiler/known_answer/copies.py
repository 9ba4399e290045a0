"""Copies of the computation that err on purpose, each as a form of activations may err: from what they make of the answer its tolerance follows.

How much an error of one product matters at the end depends on the model: how deep it is, whether it rounds activations to steps or chooses
experts, where a last bit may decide. So that is not estimated but tried: in each copy every input of a product is off at random, by at least
twice what a right kernel of that form may be off. Where the answer of no copy moves by more than d, a right device, whose errors are smaller
and as unrelated, stays within SAFETY * d for all that can be told; what one wrong row does to the answer is some hundred times that in
float, as the tests measure.
"""

import numpy as np

GROUP = 32  # columns that share a scale in the forms that have one
# A float32 sum of n products is off by about 0.4 sqrt(n) roundings of 2^-24: 2^-18 with the widest layer there is, of 21,504 columns. Norms, GELU
# and softmax in WGSL's accuracy stay below it.
FLOAT_ERROR = 2.0**-16
# Half a step is the largest error of rounding, so a whole step is twice that. int16: steps of the largest of a group / 8191; int8: / 127.
STEPS = {"int16": 8191, "int8": 127}
# Five roundings a term, of 2^-11 each: the activation, its product, a sum of four.
HALF_ERROR = 5 * 2.0**-11
SAFETY = 4.0

# Even where nothing moves at all: what is compared is rounded to six digits, and summed in float32.
LEAST = 2.0**-16

FORMS = ("float", "float16", "int16", "int8")
# What each copy stands for; the first is the answer itself. Two for float, whose tolerance is the one that matters most.
COPIES = (None, "float", "float", "float16", "int16", "int8")


def perturbed(x: np.ndarray, random: np.random.Generator, whole_steps: bool) -> np.ndarray:
    """x [copies, tokens, K], the input of a product, as each copy sees it. whole_steps: the product rounds x to steps of its own, which whole numbers
    hold exactly, so that all forms are alike."""
    noise = 2 * random.random(x.shape) - 1
    result = x.copy()
    for copy, form in enumerate(COPIES):
        if form is not None:
            error = FLOAT_ERROR * x[copy] if whole_steps else error_of(form, x[copy])
            result[copy] += error * noise[copy]
    return result


def error_of(form: str, x: np.ndarray) -> np.ndarray:
    """Twice the largest error, or more, that a form makes of each value of x [tokens, K]."""
    if form in STEPS:
        groups = np.pad(np.abs(x), ((0, 0), (0, -x.shape[1] % GROUP))).reshape(len(x), -1, GROUP)
        return np.repeat(groups.max(axis=2) / STEPS[form], GROUP, axis=1)[:, : x.shape[1]]
    return (FLOAT_ERROR if form == "float" else HALF_ERROR) * x


def tolerances(values: np.ndarray) -> dict[str, float]:
    """values [copies, n] -> for each form SAFETY times the largest difference of its copies from the first, or LEAST of the largest value."""
    off = SAFETY * np.abs(values[1:] - values[0]).max(axis=1)
    least = LEAST * np.abs(values[0]).max()
    return {form: float(max(least, *(each for each, own in zip(off, COPIES[1:]) if own == form))) for form in FORMS}
