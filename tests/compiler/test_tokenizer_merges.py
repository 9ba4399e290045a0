"""Which merges a BPE tokenizer needs, on small alphabets where pieces overlap with themselves in every way."""

from itertools import product
from random import Random

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from compiler.checkpoint.tokenizer_merges import merges_of_pieces, needed_merges

ALPHABET = "ab"
TEXTS = ["".join(letters) for length in range(1, 11) for letters in product(ALPHABET, repeat=length)]


def random_pieces(seed: int) -> list[str]:
    """The alphabet and up to 20 longer pieces, in the order of their scores."""
    random = Random(seed)
    longer = ["".join(random.choices(ALPHABET, k=random.randint(2, 6))) for _ in range(20)]
    pieces = list(dict.fromkeys([*ALPHABET, *longer]))
    random.shuffle(pieces)
    return pieces


def encoded(pieces: list[str], merges: list[tuple[str, str]]) -> list[list[str]]:
    model = BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges)
    return [encoding.tokens for encoding in Tokenizer(model).encode_batch(TEXTS)]


def test_each_cut_into_two_pieces_is_a_merge_and_the_best_piece_comes_first():
    assert list(merges_of_pieces(["bc", "a", "b", "c", "abc", "ab", "x"])) == [("b", "c"), ("a", "bc"), ("ab", "c"), ("a", "b")]


def test_of_two_ways_to_a_piece_the_one_that_better_merges_lead_to_is_needed():
    assert needed_merges([("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c")]) == [("b", "c"), ("a", "b"), ("a", "bc")]


def test_a_piece_that_better_merges_always_cut_needs_no_merge():
    merges = [("b", "b"), ("a", "b"), ("c", "c"), ("b", "c"), ("ab", "bc"), ("abb", "c")]
    assert needed_merges(merges) == [("b", "b"), ("a", "b"), ("c", "c"), ("b", "c")]


@pytest.mark.parametrize("seed", range(40))
def test_needed_merges_encode_every_text_as_all_merges_do(seed):
    pieces = random_pieces(seed)
    merges = list(merges_of_pieces(pieces))
    assert encoded(pieces, needed_merges(merges)) == encoded(pieces, merges)


@pytest.mark.parametrize("seed", range(40))
def test_needed_merges_are_enough_in_any_order_of_merges(seed):
    """Files with merges of their own may rank the ways to one piece apart from each other."""
    pieces = random_pieces(seed)
    merges = list(merges_of_pieces(pieces))
    Random(seed).shuffle(merges)
    needed = needed_merges(merges)
    assert encoded(pieces, needed) == encoded(pieces, merges)
    joined = [left + right for left, right in needed]
    assert len(joined) == len(set(joined))
