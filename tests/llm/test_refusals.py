"""What a backend says when it refuses or fails, in all shapes and words."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.llm.refusals import MAX_BODY_BYTES, read
from app.llm.wordings import CAP_TOO_LARGE, SYSTEM_ROLE, WORDINGS, Meaning, Wording

SENTENCE = "This model's maximum context length is 2048 tokens."
INNER = {"error": {"message": SENTENCE, "type": "invalid_request_error", "code": "inner_code"}}


_ROWS = [
    (kind, sentence)
    for line in Path(__file__).with_name("refusals.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for kind, _, sentence in [line.split(" | ")]
]
EXAMPLES = [(Meaning[kind], sentence) for kind, sentence in _ROWS if kind in Meaning.__members__]
CAPS = [(sentence, int(kind.removeprefix("CAP "))) for kind, sentence in _ROWS if kind.startswith("CAP ")]
SYSTEM_ROLES = [sentence for kind, sentence in _ROWS if kind == "SYSTEM_ROLE"]


def _openai(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": None, "code": None}}).encode()


def test_every_line_of_the_examples_is_one_of_them() -> None:
    assert len(_ROWS) == len(EXAMPLES) + len(CAPS) + len(SYSTEM_ROLES)


@pytest.mark.parametrize(("meaning", "sentence"), EXAMPLES)
@pytest.mark.parametrize("status", [400, 500, None])
def test_a_refusal_is_sorted_by_its_meaning_whatever_its_status(
    meaning: Meaning, sentence: str, status: int | None
) -> None:
    assert read(_openai(sentence), status=status).meaning is meaning


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda row: row.pattern.pattern[:40])
def test_each_row_of_the_table_has_an_example_that_it_decides(wording: Wording) -> None:
    decided = [
        sentence
        for meaning, sentence in EXAMPLES
        if meaning is wording.meaning
        and next((row for row in WORDINGS if row.pattern.search(sentence)), None) is wording
    ]
    assert decided


@pytest.mark.parametrize(("sentence", "largest"), CAPS)
def test_the_largest_cap_is_read_and_is_no_matter_of_the_context(sentence: str, largest: int) -> None:
    found = CAP_TOO_LARGE.search(sentence)
    assert found is not None
    assert int(found[1]) == largest
    assert read(_openai(sentence), status=400).meaning is Meaning.UNSUPPORTED


@pytest.mark.parametrize(
    "sentence", ["temperature must be less than or equal to 2", "top_p should be at most 1"]
)
def test_a_limit_of_another_parameter_is_no_cap(sentence: str) -> None:
    assert not CAP_TOO_LARGE.search(sentence)


@pytest.mark.parametrize("sentence", SYSTEM_ROLES)
def test_a_missing_system_role_is_recognized(sentence: str) -> None:
    assert SYSTEM_ROLE.search(sentence)
    assert read(_openai(sentence), status=400).meaning is Meaning.UNSUPPORTED


@pytest.mark.parametrize(
    "said",
    [
        INNER,
        [INNER],
        {"error": SENTENCE},
        {"error": [SENTENCE]},
        {"errors": [{"code": 5006, "message": SENTENCE}], "success": False},
        {"object": "error", "message": SENTENCE, "type": "BadRequestError", "code": 400},
        {"message": SENTENCE},
        {"Message": SENTENCE},
        {"detail": SENTENCE},
        {"detail": {"error": {"message": SENTENCE}}},
        {"type": "error", "error": {"type": "invalid_request_error", "message": SENTENCE}},
        {"error": SENTENCE, "error_type": "validation"},
        {"error": {"message": json.dumps(INNER)}},
        {
            "error": {
                "message": f"litellm.BadRequestError: OpenAIException - {json.dumps(INNER)} Model Group=x"
            }
        },
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps(INNER)},
            }
        },
        {"object": "error", "message": json.dumps({"detail": [{"loc": ["body"], "msg": SENTENCE}]})},
        SENTENCE,
    ],
)
def test_the_sentence_is_found_in_each_shape(said: Any) -> None:
    refusal = read(json.dumps(said).encode(), status=400)
    assert SENTENCE in refusal.sentence
    assert refusal.sentence.removeprefix("body: ") == SENTENCE
    assert refusal.meaning is Meaning.CONTEXT


@pytest.mark.parametrize(
    "body",
    [
        SENTENCE.encode(),
        f"event: error\ndata: {json.dumps(INNER)}\n\n".encode(),
        b"data: " + _openai(SENTENCE),
    ],
)
def test_a_refusal_may_be_text_or_an_event(body: bytes) -> None:
    assert read(body, status=400).sentence == SENTENCE


def test_codes_of_all_levels_are_kept() -> None:
    body = {"error": {"message": json.dumps(INNER), "code": "outer_code", "param": "messages"}}
    assert set(read(json.dumps(body).encode(), status=400).codes) >= {"outer_code", "inner_code", "messages"}


def test_the_reasons_of_google_are_codes() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = [{"error": {"code": 400, "message": "No.", "status": "INVALID_ARGUMENT", "details": details}}]
    refusal = read(json.dumps(body).encode(), status=400)
    assert refusal.sentence == "No."
    assert refusal.codes == ("INVALID_ARGUMENT", "API_KEY_INVALID")
    assert refusal.meaning is Meaning.OPERATOR


def test_each_field_that_fastapi_refuses_is_told_without_its_value() -> None:
    detail = [
        {
            "type": "extra_forbidden",
            "loc": ["body", "seed"],
            "msg": "Extra inputs are not permitted",
            "input": "SECRET",
        },
        {
            "type": "less_than",
            "loc": ["body", "top_p"],
            "msg": "Input should be less than 1",
            "input": "SECRET",
        },
    ]
    refusal = read(json.dumps({"detail": detail}).encode(), status=422)
    assert (
        refusal.sentence
        == "body.seed: Extra inputs are not permitted; body.top_p: Input should be less than 1"
    )


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (400, Meaning.OTHER),
        (401, Meaning.OPERATOR),
        (402, Meaning.OPERATOR),
        (403, Meaning.OPERATOR),
        (404, Meaning.OPERATOR),
        (413, Meaning.CONTEXT),
        (422, Meaning.OTHER),
        (429, Meaning.BUSY),
        (500, Meaning.OTHER),
        (503, Meaning.BUSY),
        (None, Meaning.OTHER),
    ],
)
def test_unknown_words_leave_it_to_the_status(status: int | None, meaning: Meaning) -> None:
    assert read(_openai("No."), status=status).meaning is meaning
    assert read(b"", status=status).meaning is meaning


def test_a_parameter_that_is_not_allowed_is_not_what_a_403_is_about() -> None:
    assert read(_openai("This address is not allowed"), status=403).meaning is Meaning.OPERATOR


def test_an_error_in_a_stream_may_name_its_status() -> None:
    body = b'{"error": {"code": 429, "message": "Provider returned error"}}'
    assert (read(body).status, read(body).meaning) == (429, Meaning.BUSY)
    assert read(b'{"error": {"code": 7, "message": "No."}}').status is None


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"error":' * 10_000,
        b"\xff\xfe\x00",
        b"{" + b" " * 200_000,
        json.dumps({"error": {"message": "x" * 200_000}}).encode(),
        json.dumps({"error": {"message": "[" * 50_000}}).encode(),
        json.dumps({"errors": [{"message": "x"}] * 10_000}).encode(),
        b"null",
        b"7",
        b'{"error": null}',
        b'{"error": {"message": "half \\ud83d", "code": "\\ud83d", "param": "\\udc22"}}',
        b'"\\ud83d"',
        b'{"detail": [{"loc": ["body", "\\ud83d"], "msg": "\\ud83d"}]}',
        b'{"error": {"message": {"message": {"message": 7}}}}',
        b'{"error": {"code": {"a": 1}, "type": ["x"], "param": 7}}',
    ],
)
def test_whatever_comes_is_read_within_bounds(body: bytes) -> None:
    refusal = read(body, status=400)
    assert len(refusal.sentence) <= 4000
    assert len(refusal.codes) <= 20
    "".join((refusal.sentence, *refusal.codes)).encode()
    assert len(body) < 4 * MAX_BODY_BYTES
