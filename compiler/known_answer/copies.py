"""Copies of the computation that err on purpose, each as a form of activations may err: from what they make of the answer its tolerance follows.

How much an error of one product matters at the end depends on the model: how deep it is, whether it rounds activations to steps or chooses
experts, where a last bit may decide. So that is not estimated but tried: in each copy every input of a product is off at random, by at least
as much as a right kernel of that form may be off. Most of what comes of it lies in one direction, along which all logits move together, so that one copy
may by chance hardly move: there are three or four of a form, and the tolerance is SAFETY times what the furthest of them did. That the error of a
right device, as unrelated as theirs, is more happens to one model in a thousand where errors are as large as they can be (int8), and to none in ten thousand
where copies err by twice that or more; what one wrong row does to the answer is a hundred times the tolerance in float, as the tests measure.
"""

import numpy as np

GROUP = 32  # columns that share a scale in the forms that have one
# A float32 sum of n products is off by about 0.4 sqrt(n) roundings of 2^-24: 2^-18 with the widest layer there is, of 21,504 columns. Norms, GELU
# and softmax in WGSL's accuracy stay below it.
FLOAT_ERROR = 2.0**-16
# Of a group's largest value. Rounding errs by half a step: 1 / 8191 of it is twice that for int16, which is the default on WebAssembly; 0.5 / 127 just that for int8.
STEPS = {"int16": 1 / 8191, "int8": 0.5 / 127}
# Five unrelated roundings a term, of 2^-11 each (the activation, its product, a sum of four), are 2.2 of them together; twice that.
HALF_ERROR = 2.0**-9
SAFETY = 6.0

# Even where nothing moves at all: what is compared is rounded to six digits, and summed in float32.
LEAST = 2.0**-16

FORMS = ("float", "float16", "int16", "int8")
# What each copy stands for; the first is the answer itself.
COPIES = (None, *["float"] * 3, *["float16"] * 3, *["int16"] * 4, *["int8"] * 4)


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
    """The largest error, or more, that a form makes of each value of x [tokens, K]."""
    if form in STEPS:
        groups = np.pad(np.abs(x), ((0, 0), (0, -x.shape[1] % GROUP))).reshape(len(x), -1, GROUP)
        return np.repeat(groups.max(axis=2) * STEPS[form], GROUP, axis=1)[:, : x.shape[1]]
    return (FLOAT_ERROR if form == "float" else HALF_ERROR) * x


def tolerances(values: np.ndarray) -> dict[str, float]:
    """values [copies, n] -> for each form SAFETY times the largest difference of its copies from the first, or LEAST of the largest value."""
    off = SAFETY * np.abs(values[1:] - values[0]).max(axis=1)
    least = LEAST * np.abs(values[0]).max()
    return {form: float(max(least, *(each for each, own in zip(off, COPIES[1:]) if own == form))) for form in FORMS}
