"""The licence of the weights is what the checkpoint states, and is never made up."""

import pytest

from compiler.checkpoint.license import APACHE, GEMMA_TERMS, UNKNOWN, folder_license, license_named


def test_known_identifiers_give_name_address_and_notice():
    assert license_named("gemma", "gemma3_text") == GEMMA_TERMS
    assert "https://ai.google.dev/gemma/terms" in GEMMA_TERMS.text
    assert license_named("Apache-2.0", "gemma3_text") == APACHE


def test_other_identifiers_are_passed_on():
    other = license_named("mit", "gemma3_text", url="https://example.org/mit")
    assert (other.name, other.url) == ("mit", "https://example.org/mit")
    assert other.text == "The checkpoint states its licence as: mit https://example.org/mit\n"


def test_silence_means_apache_for_gemma4_and_unknown_for_gemma3():
    assert license_named(None, "gemma4_text") == APACHE
    assert license_named(None, "gemma3_text") == UNKNOWN


@pytest.mark.parametrize(
    ("front_matter", "name"),
    [
        ("license: gemma", "Gemma Terms of Use"),
        ('tags:\n- a\nlicense: "apache-2.0"\npipeline_tag: x', "Apache 2.0"),
        ("license: other\nlicense_name: house-rules\nlicense_link: https://example.org/rules", "house-rules"),
    ],
)
def test_a_folders_readme_states_it(tmp_path, front_matter, name):
    (tmp_path / "README.md").write_text(f"---\n{front_matter}\n---\n# Model\nlicense: mit\n")
    assert folder_license(tmp_path, "gemma3_text").name == name


def test_only_the_front_matter_of_a_readme_counts(tmp_path):
    (tmp_path / "README.md").write_text("# Model\nlicense: mit\n")
    assert folder_license(tmp_path, "gemma3_text") == UNKNOWN


def test_a_license_file_is_the_text(tmp_path):
    (tmp_path / "LICENSE").write_text("Do as you like.\n")
    stated = folder_license(tmp_path, "gemma3_text")
    assert (stated.name, stated.text) == ("stated in the text", "Do as you like.\n")
    (tmp_path / "README.md").write_text("---\nlicense: gemma\n---\n")
    stated = folder_license(tmp_path, "gemma3_text")
    assert (stated.name, stated.url, stated.text) == (GEMMA_TERMS.name, GEMMA_TERMS.url, "Do as you like.\n")
