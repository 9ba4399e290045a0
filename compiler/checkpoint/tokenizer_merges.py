"""The merges of a BPE tokenizer: found from the pieces of a SentencePiece vocabulary, and cut to the needed ones.

Both follow from how BPE encodes a text: it starts with single characters and joins two neighbours again and again,
always those of the best rank, the leftmost first.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

Merge = tuple[str, str]
MOST_MERGES = 1_000_000  # Gemma has 514,906
# What is looked through for needless merges: pieces of this length, and so many characters. Gemma's longest has 31, all 1.5 million.
LONGEST_PIECE = 64
MOST_CHARACTERS = 3_000_000


def merges_of_pieces(pieces: Iterable[str]) -> Iterator[Merge]:
    """All merges that SentencePiece would do with these pieces, which are given best score first.

    SentencePiece has no list of merges: it joins any two neighbours that form a piece, the piece with the best score
    first. So each cut of a piece into two pieces is a merge, and its rank is the piece's.
    """
    ordered = list(pieces)
    known = frozenset(ordered)
    return (
        (piece[:cut], piece[cut:])
        for piece in ordered
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    )


def needed_merges(merges: Iterable[Merge]) -> list[Merge]:
    """The merges, in their order, without those that no text can reach: every text is encoded as with all of them.

    Where a piece comes to be in a text, no merge has crossed its ends, so those inside it were the ones that encode
    the piece alone, whatever stands beside it. So only the last of these ever makes the piece: one merge a piece is
    enough. Gemma's 514906 merges become 236336, and a browser loads its tokenizer twice as fast. Pieces beyond any of Gemma's
    keep theirs, so that the time is bounded.
    """
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    cuts: dict[str, int] = {}
    for left, right in ranks:
        cuts[left + right] = cuts.get(left + right, 0) + 1
    looked_through = accumulate(len(piece) for piece, count in cuts.items() if count > 1 and len(piece) <= LONGEST_PIECE)
    pieces = (piece for piece, count in cuts.items() if count > 1 and len(piece) <= LONGEST_PIECE)
    last = {
        piece: _last_two_symbols(piece, ranks)
        for piece, characters in zip(pieces, looked_through)
        if characters <= MOST_CHARACTERS
    }
    return [merge for merge in ranks if last.get(merge[0] + merge[1], merge) == merge]


def _last_two_symbols(piece: str, ranks: Mapping[Merge, int]) -> Merge | None:
    """The merge that makes the piece when it is encoded alone; None where the piece is never made."""
    never = len(ranks)
    symbols = list(piece)
    neighbours = [ranks.get(pair, never) for pair in zip(symbols, symbols[1:])]
    while len(symbols) > 2:
        best = min(neighbours)
        if best == never:
            return None
        at = neighbours.index(best)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        del neighbours[at]
        for left in range(max(at - 1, 0), min(at + 1, len(neighbours))):
            neighbours[left] = ranks.get((symbols[left], symbols[left + 1]), never)
    return symbols[0], symbols[1]
