"""Tokenizers that cannot be used: each is refused with what is wrong and where; and small cases of those that can."""

import json
from pathlib import Path

import pytest
from gguf import TokenType
from tokenizers import Tokenizer

from compiler.checkpoint.tokenizer import special_token_ids, tokenizer_json_from_folder, tokenizer_json_from_gguf
from compiler.errors import GemletError

PATH = Path("some/model.gguf")
TOKENS = {  # token -> type; the ids are 0 and up
    "<pad>": TokenType.CONTROL,
    "<eos>": TokenType.CONTROL,
    "<bos>": TokenType.CONTROL,
    "<unk>": TokenType.UNKNOWN,
    "<turn|>": TokenType.CONTROL,
    "  ": TokenType.USER_DEFINED,
    "<b>": TokenType.USER_DEFINED,
    **{f"<0x{byte:02X}>": TokenType.BYTE for byte in range(256)},
    **dict.fromkeys(["\u2581a", "ab", "\u2581", "a", "b", "<", ">", "abab"], TokenType.NORMAL),
}
FIELDS = {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": list(TOKENS),
    "tokenizer.ggml.token_type": list(TOKENS.values()),
    "tokenizer.ggml.scores": [-float(number) for number in range(len(TOKENS))],
    "tokenizer.ggml.bos_token_id": 2,
}
GEMMA4_FIELDS = FIELDS | {"tokenizer.ggml.model": "gemma4", "tokenizer.ggml.merges": ["a b", "ab ab"]}


def tokens(content: bytes, text: str) -> list[str]:
    return Tokenizer.from_buffer(content).encode(text, add_special_tokens=False).tokens


def test_scores_rank_the_merges():
    assert tokens(tokenizer_json_from_gguf(FIELDS, PATH), "abab ab a") == ["abab", "\u2581a", "b", "\u2581a"]


def test_merges_of_the_file_are_taken_where_it_has_them():
    assert tokens(tokenizer_json_from_gguf(GEMMA4_FIELDS, PATH), "abab ab a") == ["abab", "\u2581", "ab", "\u2581", "a"]


def test_user_defined_pieces_stay_whole_and_are_not_special():
    document = json.loads(tokenizer_json_from_gguf(FIELDS, PATH))
    assert tokens(json.dumps(document).encode(), "a   a<b>") == ["a", "\u2581\u2581", "\u2581a", "<b>"]
    assert [token["content"] for token in document["added_tokens"] if not token["special"]] == ["\u2581\u2581", "<b>"]


def test_a_character_that_is_no_piece_becomes_its_bytes():
    assert tokens(tokenizer_json_from_gguf(FIELDS, PATH), "aé") == ["a", "<0xC3>", "<0xA9>"]


def test_the_same_fields_give_the_same_bytes():
    assert tokenizer_json_from_gguf(FIELDS, PATH) == tokenizer_json_from_gguf(dict(reversed(FIELDS.items())), PATH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.model": "gpt2"}, "tokenizer.ggml.model is 'gpt2'; expected one of llama, gemma4"),
        ({"tokenizer.ggml.add_space_prefix": True}, "add_space_prefix is true"),
        ({"tokenizer.ggml.scores": [0.0]}, f"tokenizer.ggml.scores has 1 values; expected {len(TOKENS)}"),
        ({"tokenizer.ggml.token_type": [1, 1]}, f"tokenizer.ggml.token_type has 2 values; expected {len(TOKENS)}"),
        ({"tokenizer.ggml.token_type": [9] * len(TOKENS)}, "9 is no token type; expected 1 to 6"),
        ({"tokenizer.ggml.tokens": ["a"] * len(TOKENS)}, "tokens 0 and 1 are both 'a'"),
        ({"tokenizer.ggml.tokens": [f"<0x{number:02X}" for number in range(len(TOKENS))]}, "<0x00> is missing"),
        ({"tokenizer.ggml.bos_token_id": 999}, f"bos_token_id is 999, but the vocabulary has {len(TOKENS)}"),
    ],
)
def test_an_unsound_vocabulary_is_refused_by_name(change, message):
    with pytest.raises(GemletError, match="^some/model.gguf: ") as error:
        tokenizer_json_from_gguf(FIELDS | change, PATH)
    assert message in str(error.value)


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_a_missing_field_is_named(key):
    with pytest.raises(GemletError, match=f"some/model.gguf: metadata {key} is missing"):
        tokenizer_json_from_gguf({name: value for name, value in FIELDS.items() if name != key}, PATH)


@pytest.mark.parametrize("line", ["ab", "a c", "b a"])
def test_a_merge_of_unknown_tokens_is_refused(line):
    with pytest.raises(GemletError, match=f"some/model.gguf: tokenizer.ggml.merges: merge 1 is '{line}'"):
        tokenizer_json_from_gguf(GEMMA4_FIELDS | {"tokenizer.ggml.merges": ["a b", line]}, PATH)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    with pytest.raises(GemletError, match="tokenizer.json: the file is missing"):
        tokenizer_json_from_folder(tmp_path)


def test_a_folder_with_only_a_sentencepiece_model_says_how_to_convert_it(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"\n")
    with pytest.raises(GemletError, match="tokenizer.model but no tokenizer.json.*save_pretrained"):
        tokenizer_json_from_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{", b'{"version": "1.0"}', b'{"model": {"type": "BPE"}}'])
def test_a_broken_tokenizer_json_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(GemletError, match="tokenizer.json: the tokenizer cannot be loaded: .+"):
        tokenizer_json_from_folder(tmp_path)


def test_no_merge_of_a_folder_makes_a_special_token(tmp_path):
    document = json.loads(tokenizer_json_from_gguf(GEMMA4_FIELDS, PATH))
    document["model"]["vocab"] |= {"<bo": 1000, "s>": 1001}
    document["model"]["merges"] += [["<bo", "s>"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), "utf-8")
    assert ["<bo", "s>"] not in json.loads(tokenizer_json_from_folder(tmp_path))["model"]["merges"]


def test_ids_that_the_checkpoint_does_not_state_are_found_by_name():
    ids = special_token_ids(tokenizer_json_from_gguf(FIELDS, PATH), {"eos_token_id": [1, 50], "bos_token_id": None})
    assert (ids.bos, ids.stop, ids.pad, ids.add_bos) == (2, (1, 50, 4), 0, True)


def test_what_the_checkpoint_states_comes_first():
    stated = {"bos_token_id": 7, "pad_token_id": 8, "eos_token_id": [4]}
    ids = special_token_ids(tokenizer_json_from_gguf(FIELDS, PATH), stated)
    assert (ids.bos, ids.stop, ids.pad) == (7, (4,), 8)


def test_a_tokenizer_without_special_tokens_has_no_bos_to_add(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}', "utf-8")
    ids = special_token_ids(tokenizer_json_from_folder(tmp_path), {})
    assert (ids.bos, ids.stop, ids.pad, ids.add_bos) == (None, (), None, False)
