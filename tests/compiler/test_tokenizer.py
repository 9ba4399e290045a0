"""The tokenizer of the real Gemma vocabulary against SentencePiece (which Gemma was trained with), transformers, and
the JavaScript library that the page uses: the same ids for more than 2,000 texts, and the same texts back."""

import json
import subprocess
from pathlib import Path

import pytest
from gguf import TokenType
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer
from transformers import GemmaTokenizer

from compiler.checkpoint.gguf_file import read_gguf_file
from compiler.checkpoint.tokenizer import ids_without_text, special_token_ids, tokenizer_json_from_folder, tokenizer_json_from_gguf
from compiler.checkpoint.tokenizer_merges import merges_of_pieces
from compiler.setup.folders import ENVIRONMENT, REQUIREMENTS, WEB
from compiler.setup.node import ensure_node
from tests.fixtures.default_model import default_model  # noqa: F401, a fixture
from tests.fixtures.tokenizer_strings import LIKE_SPECIAL, tokenizer_strings

LONGEST_SPACE_RUN = 31  # the longest piece of spaces in Gemma's vocabulary
TEXTS = tokenizer_strings()
ENCODE_IN_JAVASCRIPT = """
import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
const { document, texts } = JSON.parse(readFileSync(0, "utf8"));
const tokenizer = new Tokenizer(document, { clean_up_tokenization_spaces: false });
const ids = texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }).ids);
const decoded = ids.map((each) => (each.length ? tokenizer.decode(each) : ""));
process.stdout.write(JSON.stringify({ ids, decoded }));
"""


@pytest.fixture(scope="module")
def fields(default_model):  # noqa: F811
    return read_gguf_file(default_model).fields


@pytest.fixture(scope="module")
def document(fields) -> dict:
    return json.loads(tokenizer_json_from_gguf(fields, Path("model.gguf")))


@pytest.fixture(scope="module")
def sentencepiece(fields) -> SentencePieceProcessor:
    """SentencePiece itself with the vocabulary of the GGUF file, set up as Google's model is."""
    model = sentencepiece_model_pb2.ModelProto()
    columns = (fields[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type"))
    for token, score, kind in zip(*columns, strict=True):
        piece = token.replace(" ", "\u2581") if kind == TokenType.USER_DEFINED else token
        model.pieces.add(piece=piece, score=score, type=TokenType.UNKNOWN if token == "<unk>" else kind)
    model.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    return SentencePieceProcessor(model_proto=model.SerializeToString())


def without_special_tokens(document: dict) -> dict:
    """As a loader sees it that must not find special tokens in a text."""
    return {**document, "added_tokens": [token for token in document["added_tokens"] if not token["special"]]}


def encoded(document: dict, texts: list[str]) -> list[list[int]]:
    tokenizer = Tokenizer.from_str(json.dumps(document))
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def encoded_in_javascript(document: dict, texts: list[str]) -> tuple[list[list[int]], list[str]]:
    node = ensure_node(ENVIRONMENT, REQUIREMENTS).node
    command = [node, "--input-type=module", "--eval", ENCODE_IN_JAVASCRIPT]
    given = json.dumps({"document": document, "texts": texts})
    answer = json.loads(subprocess.run(command, cwd=WEB, input=given, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return answer["ids"], answer["decoded"]


def different(texts: list[str], found: list, expected: list) -> list[tuple]:
    return [each for each in zip(texts, found, expected, strict=True) if each[1] != each[2]]


def test_there_are_2000_texts_and_the_same_on_every_run():
    assert len(set(TEXTS)) > 2000
    assert TEXTS == tokenizer_strings()


def test_ids_are_those_of_sentencepiece(document, sentencepiece):
    found = encoded(without_special_tokens(document), TEXTS)
    assert different(TEXTS, found, [sentencepiece.encode(text) for text in TEXTS]) == []


def test_ids_in_javascript_are_those_of_sentencepiece_and_decode_to_the_text(document, sentencepiece):
    ids, decoded = encoded_in_javascript(without_special_tokens(document), TEXTS)
    assert different(TEXTS, ids, [sentencepiece.encode(text) for text in TEXTS]) == []
    assert different(TEXTS, decoded, TEXTS) == []


def test_special_tokens_are_found_alike_in_python_and_javascript_and_decode_to_the_text(document):
    ids, decoded = encoded_in_javascript(document, TEXTS)
    assert different(TEXTS, ids, encoded(document, TEXTS)) == []
    assert different(TEXTS, decoded, TEXTS) == []


def test_transformers_differs_only_in_runs_of_more_than_31_spaces(document, default_model):  # noqa: F811
    """There it merges two halves, as the merges have it; SentencePiece, like the training, takes the longest piece."""
    tokenizer = GemmaTokenizer.from_pretrained(default_model.parent, gguf_file=default_model.name)
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    found = different(TEXTS, encoded(document, TEXTS), expected)
    assert [text for text, *_ in found] == [text for text in TEXTS if " " * (LONGEST_SPACE_RUN + 1) in text]


def test_a_text_never_gives_special_tokens_to_a_loader_that_leaves_them_out(document):
    special = {token["id"] for token in document["added_tokens"] if token["special"]}
    names = [token["content"] for token in document["added_tokens"] if token["special"]]
    ids, _ = encoded_in_javascript(without_special_tokens(document), [*TEXTS, *names])
    assert [each for each in ids if special & set(each)] == []
    found = encoded(document, names)
    assert found == [[document["model"]["vocab"][name]] for name in names]  # and the other loader finds all of them


def test_a_byte_that_is_written_out_in_a_text_stays_text(document):
    written = [text for text in LIKE_SPECIAL if text.startswith("<0x")]
    vocabulary = document["model"]["vocab"]
    assert written and all(len(ids) > 1 for ids in encoded(document, written))
    assert encoded(document, ["\U0010ffff"]) == [[vocabulary[f"<0x{byte:02X}>"] for byte in b"\xf4\x8f\xbf\xbf"]]


def test_encoding_begins_with_bos_where_special_tokens_are_asked_for(document):
    assert Tokenizer.from_str(json.dumps(document)).encode("a").ids[0] == document["model"]["vocab"]["<bos>"]


def test_ends_of_text_and_of_turn_are_stops(document):
    ids = special_token_ids(json.dumps(document).encode(), {"eos_token_id": [1], "bos_token_id": 2})
    assert (ids.bos, ids.stop, ids.pad, ids.add_bos) == (2, (1, 106), 0, True)


def test_ids_without_text_are_those_that_no_token_has_added_ones_included():
    tokens = {"<pad>": 0, "a": 1, "b": 4, "c": 5}
    document = {"model": {"type": "BPE", "vocab": tokens, "merges": []}, "added_tokens": [
        {"id": 8, "content": "<added>", "special": False, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}]}
    assert ids_without_text(json.dumps(document).encode(), 11, ()) == ((2, 4), (6, 8), (9, 11))
    assert ids_without_text(json.dumps(document).encode(), 11, (2, 7, 10)) == ((3, 4), (6, 7), (9, 10))
    assert ids_without_text(json.dumps(document).encode(), 2, ()) == ()


@pytest.fixture(scope="module")
def smaller_fields(fields) -> dict:
    """As a GGUF file of Gemma 4 has them, with every tenth piece of the vocabulary (and all characters): merges
    instead of scores, also for runs of white space, and the tokens of a turn shown to the user."""
    kinds = {TokenType.USER_DEFINED: TokenType.NORMAL}
    every = enumerate(zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"], strict=True))
    kept = {
        token.replace(" ", "\u2581"): kinds.get(kind, kind)
        for number, (token, kind) in every
        if number < 30000 or len(token) == 1
    }
    merges = [f"{left} {right}" for left, right in merges_of_pieces(kept)]
    kept |= {"<start_of_turn>": TokenType.USER_DEFINED}
    return {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": list(kept),
        "tokenizer.ggml.token_type": list(kept.values()),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 2,
    }


@pytest.fixture(scope="module")
def with_all_merges(smaller_fields) -> dict:
    """The same as a tokenizer.json with every merge, which is how Google publishes them."""
    document = json.loads(tokenizer_json_from_gguf(smaller_fields, Path("model.gguf")))
    merges = [line.split(" ") for line in smaller_fields["tokenizer.ggml.merges"]]
    assert len(merges) > 1.5 * len(document["model"]["merges"])
    return {**document, "model": {**document["model"], "merges": merges}}


def test_merges_of_a_gguf_file_and_of_a_folder_are_cut_to_those_needed(tmp_path, smaller_fields, with_all_merges):
    (tmp_path / "tokenizer.json").write_text(json.dumps(with_all_merges), "utf-8")
    content = tokenizer_json_from_folder(tmp_path)
    assert content == tokenizer_json_from_gguf(smaller_fields, Path("model.gguf"))
    expected = encoded(with_all_merges, TEXTS)
    assert different(TEXTS, encoded(json.loads(content), TEXTS), expected) == []
    ids, decoded = encoded_in_javascript(json.loads(content), TEXTS)
    assert different(TEXTS, ids, expected) == []
    assert different(TEXTS, decoded, TEXTS) == []


def test_tokens_that_gemma4_files_show_to_the_user_are_special(with_all_merges):
    special = {token["content"] for token in with_all_merges["added_tokens"] if token["special"]}
    assert {"<start_of_turn>", "<bos>", "<pad>"} <= special and "\n\n" not in special
