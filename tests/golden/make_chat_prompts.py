"""Writes chat_prompts.json: the token ids that transformers makes of tests/fixtures/conversations.py.

Run from the project's folder, in its environment: python -m tests.golden.make_chat_prompts
Takes seconds; run it again when the conversations, the template or the tokenizer of the tests change.

The reference is `apply_chat_template` with `sanitize_control_tokens=True`: it puts marks around the special tokens in what the
caller wrote, renders, and encodes the prompt in pieces, those between marks as plain text. Of the kind "continued" are requests whose last message goes on.
"""
import json
from pathlib import Path

from tests.fixtures.chat_tokenizer import chat_tokenizer, transformers_tokenizer
from tests.fixtures.conversations import CONTINUED, INJECTED, PLAIN

FILE = Path(__file__).parent / "chat_prompts.json"
TEMPLATE = Path(__file__).parents[1] / "fixtures" / "templates" / "gemma4.jinja"


def prompt_ids(request: dict, sanitize: bool = True) -> list[int]:
    """Of one conversation. transformers takes the arguments of calls as objects, not as JSON text."""
    messages = json.loads(json.dumps(request["messages"]))
    for message in messages:
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    tokenizer = transformers_tokenizer(TEMPLATE.read_text())
    goes_on = request.get("continue_final_message", False)
    return tokenizer.apply_chat_template(messages, tools=request.get("tools"), add_generation_prompt=not goes_on, continue_final_message=goes_on,
                                         return_dict=False, sanitize_control_tokens=sanitize, **request.get("chat_template_kwargs", {}))


def chat_prompts() -> dict:
    """What the file holds."""
    kinds = {"plain": PLAIN, "injected": INJECTED, "continued": CONTINUED}
    cases = [{"kind": kind, "name": name, "ids": prompt_ids(request), "request": request}
             for kind, requests in kinds.items() for name, request in requests.items()]
    return {"tokenizer": json.loads(chat_tokenizer().to_str()), "cases": cases}


def main() -> None:
    prompts = chat_prompts()
    lines = ",\n".join(json.dumps(case) for case in prompts["cases"])
    FILE.write_text(f'{{"tokenizer": {json.dumps(prompts["tokenizer"])},\n"cases": [\n{lines}\n]}}\n')
    print(f"{len(prompts['cases'])} conversations -> {FILE}")


if __name__ == "__main__":
    main()
