"""Tokens that only files beside tokenizer.json know, and the ends of a turn, have the ids that transformers gives them."""
import json

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from compiler.checkpoint.tokenizer import special_token_ids, tokenizer_json_from_folder
from compiler.errors import GemletError
from tests.fixtures.gemma4_checkpoints import VOCABULARY, small_tokenizer

CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TEXT = "a<new>b <two><unused3>.<eot>c"


def token(content: str, special: bool = True, **flags) -> dict:
    return {"content": content, "special": special, "lstrip": False, "rstrip": False, "normalized": not special, "single_word": False, **flags}


CASES = {
    "behind the vocabulary": {CONFIG: {"added_tokens_decoder": {str(VOCABULARY + 1): token("<two>", False), str(VOCABULARY): token("<new>")}}},
    "behind a gap": {CONFIG: {"added_tokens_decoder": {str(VOCABULARY + 5): token("<new>")}}},
    "with an id that another has": {CONFIG: {"added_tokens_decoder": {"10": token("<new>")}}},
    "a piece of the vocabulary": {CONFIG: {"added_tokens_decoder": {"293": token("<unused3>")}}},
    "that eat white space": {CONFIG: {"added_tokens_decoder": {str(VOCABULARY): token("<two>", lstrip=True)}}},
    "of the older file": {ADDED: {"<two>": VOCABULARY + 1, "<new>": VOCABULARY}},
    "of the older file beside the newer field": {CONFIG: {"added_tokens_decoder": {str(VOCABULARY): token("<new>")}}, ADDED: {"<two>": VOCABULARY}},
    "of a list": {CONFIG: {"additional_special_tokens": ["<new>", "<unused3>"]}},
    "of the newer list": {CONFIG: {"extra_special_tokens": ["<unused3>", "<new>"]}},
    "of a list by name": {CONFIG: {"extra_special_tokens": {"image_token": "<new>"}}},
    "of the older map": {MAP: {"eos_token": "<eot>", "additional_special_tokens": ["<new>"]}},
    "named as end": {CONFIG: {"eos_token": "<eot>"}},
    "named as end, with flags": {CONFIG: {"eos_token": {"content": "<eot>", "__type": "AddedToken"}}},
    "named otherwise": {CONFIG: {"eot_token": "<eot>", "add_bos_token": True}},
    "none": {},
    "nothing stated": {CONFIG: {"added_tokens_decoder": {}, "eos_token": None, "extra_special_tokens": []}},
}


def write(folder, files: dict):
    small_tokenizer().save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize("files", CASES.values(), ids=CASES)
def test_ids_are_those_of_transformers(tmp_path, files):
    write(tmp_path, files)
    expected = AutoTokenizer.from_pretrained(tmp_path)
    found = tokenizer_json_from_folder(tmp_path)
    assert Tokenizer.from_buffer(found).encode(TEXT, add_special_tokens=False).ids == expected.encode(TEXT, add_special_tokens=False)
    stated = {each["content"]: each["id"] for each in json.loads(found)["added_tokens"]}
    assert stated == {str(each): number for number, each in expected.added_tokens_decoder.items()}


def test_a_token_that_the_embedding_has_no_row_for_is_left_out(tmp_path):
    write(tmp_path, CASES["behind the vocabulary"])
    added = json.loads(tokenizer_json_from_folder(tmp_path, VOCABULARY + 1))["added_tokens"]
    assert [each["id"] for each in added][-1] == VOCABULARY and "<two>" not in {each["content"] for each in added}


@pytest.mark.parametrize(("files", "message"), [
    ({CONFIG: {"added_tokens_decoder": []}}, r"tokenizer_config\.json: added_tokens_decoder: expected an object"),
    ({CONFIG: {"added_tokens_decoder": {"x": token("<new>")}}}, r"added_tokens_decoder\.x: expected a token's id as key"),
    ({CONFIG: {"added_tokens_decoder": {"1": "<new>"}}}, r"added_tokens_decoder\.1: expected an object, found '<new>'"),
    ({CONFIG: {"added_tokens_decoder": {"1": token("<new>", special=1)}}}, r"added_tokens_decoder\.1\.special: expected true or false, found 1"),
    ({CONFIG: {"added_tokens_decoder": {"1": {"special": True}}}}, r"added_tokens_decoder\.1\.content: expected a text, found None"),
    ({CONFIG: {"eos_token": 1}}, r"eos_token: expected a text, found 1"),
    ({CONFIG: {"extra_special_tokens": "<new>"}}, "extra_special_tokens: expected a list of tokens"),
    ({CONFIG: {"extra_special_tokens": [1]}}, r"extra_special_tokens\.0: expected a text, found 1"),
    ({ADDED: {"<new>": "1"}}, r"added_tokens\.json: <new>: expected a whole number from 0"),
    ({MAP: []}, r"special_tokens_map\.json: expected a JSON object"),
])
def test_wrong_types_are_refused_by_field(tmp_path, files, message):
    write(tmp_path, files)
    with pytest.raises(GemletError, match=message):
        tokenizer_json_from_folder(tmp_path)


def test_the_tokenizers_own_end_is_a_stop_beside_stated_ids(tmp_path):
    write(tmp_path, CASES["named as end"])
    found = tokenizer_json_from_folder(tmp_path)
    assert set(special_token_ids(found, {"eos_token_id": [1], "eos_token": "<eot>"}).stop) == {1, 6, VOCABULARY}
    assert set(special_token_ids(found, {"eos_token_id": [], "eos_token": "<of another tokenizer>"}).stop) == {6}


def test_texts_of_ends_become_ids_or_are_refused():
    content = small_tokenizer().to_str().encode()
    assert special_token_ids(content, {"eos_token_id": ["<eos>", 5, "<unused3>"]}).stop[:3] == (1, 5, 293)
    with pytest.raises(GemletError, match="eos_token_id: '<absent>' is no token of the tokenizer"):
        special_token_ids(content, {"eos_token_id": ["<absent>"]})


def test_a_tokenizer_of_another_size_than_the_embedding_is_refused(tmp_path):
    write(tmp_path, {})
    for rows in (VOCABULARY - 8, VOCABULARY, 2 * VOCABULARY):
        tokenizer_json_from_folder(tmp_path, rows)
    for rows in (VOCABULARY - 9, VOCABULARY // 4, 2 * VOCABULARY + 1):
        with pytest.raises(GemletError, match=rf"tokenizer\.json: the tokenizer has {VOCABULARY} tokens, but the model's vocabulary {rows}\."):
            tokenizer_json_from_folder(tmp_path, rows)
