"""Writes chat_prompts.json and function_gemma_prompts.json: the token ids that transformers makes of tests/fixtures/conversations.py.

Run from the project's folder, in its environment: python -m tests.golden.make_chat_prompts
Takes seconds; run it again when the conversations, the template or the tokenizer of the tests change.

The reference is `apply_chat_template` with `sanitize_control_tokens=True`: it puts marks around the special tokens in what the
caller wrote, renders, and encodes the prompt in pieces, those between marks as plain text. Of the kind "continued" are requests whose last message goes on.
"""
import json
from pathlib import Path

from tokenizers import Tokenizer

from tests.fixtures.chat_tokenizer import FUNCTION_GEMMA, chat_tokenizer, transformers_tokenizer
from tests.fixtures.conversations import CONTINUED, FUNCTION_CALLS, INJECTED, PLAIN

FILE = Path(__file__).parent / "chat_prompts.json"
FUNCTION_FILE = Path(__file__).parent / "function_gemma_prompts.json"
TEMPLATE = Path(__file__).parents[1] / "fixtures" / "templates" / "gemma4.jinja"
FUNCTION_TEMPLATE = TEMPLATE.with_name("function_gemma.jinja")


def function_tokenizer() -> Tokenizer:
    """The tests' tokenizer with FunctionGemma's tokens."""
    return chat_tokenizer(FUNCTION_GEMMA, [])


def prompt_ids(request: dict, sanitize: bool = True, template: Path = TEMPLATE, tokens: Tokenizer | None = None) -> list[int]:
    """Of one conversation. transformers takes the arguments of calls as objects, not as JSON text."""
    messages = json.loads(json.dumps(request["messages"]))
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    tokenizer = transformers_tokenizer(template.read_text(), tokens or chat_tokenizer())
    goes_on = request.get("continue_final_message", False)
    return tokenizer.apply_chat_template(messages, tools=request.get("tools"), add_generation_prompt=not goes_on, continue_final_message=goes_on,
                                         return_dict=False, sanitize_control_tokens=sanitize, **request.get("chat_template_kwargs", {}))


def chat_prompts() -> dict:
    """What the file holds."""
    kinds = {"plain": PLAIN, "injected": INJECTED, "continued": CONTINUED}
    cases = [{"kind": kind, "name": name, "ids": prompt_ids(request), "request": request}
             for kind, requests in kinds.items() for name, request in requests.items()]
    return {"tokenizer": json.loads(chat_tokenizer().to_str()), "cases": cases}


def function_prompts() -> dict:
    """What the other one holds."""
    tokens = function_tokenizer()
    cases = [{"name": name, "ids": prompt_ids(request, template=FUNCTION_TEMPLATE, tokens=tokens), "request": request} for name, request in FUNCTION_CALLS.items()]
    return {"tokenizer": json.loads(tokens.to_str()), "cases": cases}


def main() -> None:
    for file, prompts in ((FILE, chat_prompts()), (FUNCTION_FILE, function_prompts())):
        lines = ",\n".join(json.dumps(case) for case in prompts["cases"])
        file.write_text(f'{{"tokenizer": {json.dumps(prompts["tokenizer"])},\n"cases": [\n{lines}\n]}}\n')
        print(f"{len(prompts['cases'])} conversations -> {file}")


if __name__ == "__main__":
    main()
