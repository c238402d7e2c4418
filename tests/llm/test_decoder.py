"""The decoder against the standard, and against a straightforward reference."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.decoder import MAX_LINE_BYTES, Event, EventStreamDecoder, LineTooLong


def event(data: bytes, kind: bytes = b"message") -> Event:
    return data, kind


def decode(*parts: bytes) -> list[Event]:
    decoder = EventStreamDecoder()
    return [each for part in parts for each in decoder.feed(part)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_at_cr_lf_and_crlf(end: bytes) -> None:
    assert decode(b"data: a" + end + b"data: b" + end + end) == [event(b"a\nb")]


def test_a_crlf_split_over_two_reads_is_one_line_end() -> None:
    assert decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [event(b"a\nb")]


def test_two_events_end_with_bare_crs() -> None:
    assert decode(b"data: a\r\rdata: b\r\r") == [event(b"a"), event(b"b")]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_no_other_character_ends_a_line(separator: str) -> None:
    text = f"a{separator}b".encode()
    assert decode(b"data: " + text + b"\n\n") == [event(text)]


def test_a_character_may_be_split_anywhere() -> None:
    stream = 'data: {"content": "żółw 🐢"}\n\n'.encode()
    assert decode(*(bytes([byte]) for byte in stream)) == [event(stream[6:-2])]


def test_comments_and_unknown_fields_are_passed_over() -> None:
    assert decode(b": ping\n\n:\nretry: 5\nid: 7\nnonsense\ndata:x\n\n") == [event(b"x")]


def test_only_the_first_space_after_the_colon_is_dropped() -> None:
    assert decode(b"data:  a\n\n") == [event(b" a")]


def test_the_event_field_names_the_type_of_one_event() -> None:
    assert decode(b"event: error\ndata: a\n\ndata: b\n\n") == [event(b"a", b"error"), event(b"b")]


def test_an_event_without_data_is_not_dispatched() -> None:
    assert decode(b"event: error\n\ndata: b\n\n") == [event(b"b")]


def test_a_byte_order_mark_is_dropped_at_the_start_alone() -> None:
    mark = b"\xef\xbb\xbf"
    assert decode(mark[:1], mark[1:] + b"data: a\n\n" + mark + b"data: b\n\n") == [event(b"a")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_an_event_without_its_blank_line_is_there_at_a_clean_end_alone(end: bytes) -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.feed(b"data: a\n\nevent: b\ndata: b" + end)) == [event(b"a")]
    assert decoder.end() == event(b"b", b"b")
    assert decoder.end() is None


@pytest.mark.parametrize("stream", [b"", b"\xef\xbb", b"data: a\n\n", b"data: a\n\n: comment", b"event: b\n"])
def test_an_end_after_complete_events_adds_none(stream: bytes) -> None:
    decoder = EventStreamDecoder()
    list(decoder.feed(stream))
    assert decoder.end() is None


@pytest.mark.parametrize(
    "line",
    [
        b"data: " + b"x" * MAX_LINE_BYTES,
        b"data: " + b"x" * MAX_LINE_BYTES + b"\n\n",
        b"data:\n" + b"data: " + b"x" * 4096 + b"\n",
        b"data:\n" * 4096,
        b": " + b"x" * 4096,
    ],
)
def test_a_line_or_an_event_above_the_limit_is_refused(line: bytes) -> None:
    with pytest.raises(LineTooLong):
        decode(*[line] * (MAX_LINE_BYTES // 4096 + 2))


@pytest.mark.parametrize("size", [1, 5, 64 * 1024])
def test_the_longest_line_is_decoded_in_time_in_proportion_to_its_length(size: int) -> None:
    line = b"data: " + b"x" * (MAX_LINE_BYTES - 7)
    began = time.process_time()
    assert len(decode(*(line[n : n + size] for n in range(0, len(line), size)), b"\n\n")) == 1
    assert time.process_time() - began < 5


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_the_limit_is_the_same_for_an_event_in_one_read_and_in_two(excess: int) -> None:
    stream = b"data: " + b"x" * (MAX_LINE_BYTES - 6 + excess) + b"\n\n"

    def is_refused(*parts: bytes) -> bool:
        try:
            decode(*parts)
        except LineTooLong:
            return True
        return False

    assert is_refused(stream) == is_refused(stream[:9], stream[9:]) == (excess > 0)


LINES = st.lists(
    st.sampled_from(
        [b"", b":x", b"data", b"data:", b"data: a", b"data:b:c", b"event: error", b"event:", b"id: 1"]
    )
    | st.binary(max_size=8).map(lambda line: re.sub(rb"[\r\n]", b"", line))
)


def reference(stream: bytes) -> list[Event]:
    """The standard's algorithm, written down as it reads there, for a stream that is there as a whole."""
    events, data, event_type = [], None, b""
    for line in re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        if line == b"":
            if data is not None:
                events.append(event(data.removesuffix(b"\n"), event_type or b"message"))
            data, event_type = None, b""
            continue
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"data":
            data = (data or b"") + value + b"\n"
        if name == b"event":
            event_type = value
    return events


@given(st.data(), LINES)
def test_however_a_stream_is_split_it_decodes_as_the_standard_says(
    data: st.DataObject, lines: list[bytes]
) -> None:
    ends = data.draw(
        st.lists(st.sampled_from([b"\n", b"\r", b"\r\n"]), min_size=len(lines), max_size=len(lines))
    )
    stream = b"".join(line + end for line, end in zip(lines, ends, strict=True))
    assert_decoded_the_same_however_it_is_cut(data, stream)


@given(st.data(), st.lists(st.text(st.sampled_from("ad: \u2028\x85é🐢"), max_size=8).map(str.encode)))
def test_events_as_backends_write_them_decode_the_same_however_they_are_cut(
    data: st.DataObject, contents: list[bytes]
) -> None:
    stream = b"".join(b"data: " + content + b"\n\n" for content in contents)
    assert_decoded_the_same_however_it_is_cut(data, stream)


def assert_decoded_the_same_however_it_is_cut(data: st.DataObject, stream: bytes) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*parts) == reference(stream)


@given(st.lists(st.binary(max_size=64)))
def test_no_bytes_at_all_break_it(parts: list[bytes]) -> None:
    decode(*parts)
