"""Form fields: read as every server would read them, or not at all."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.multipart import form_field
from tokenomics_core.refusal import Refusal

KIND = "multipart/form-data; boundary=XX"
MODEL = b'Content-Disposition: form-data; name="model"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"XX") -> bytes:
    """parts: head and content."""
    return (
        b"".join(
            b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
        )
        + b"--"
        + boundary
        + b"--\r\n"
    )


def refused(body: bytes, kind: str = KIND) -> str | None:
    try:
        form_field(body, kind, "model")
    except Refusal as refusal:
        return f"{refusal.status} {refusal.message}"
    return None


GOOD = form((MODEL, b"whisper-1"), (FILE, b"RIFF\r\n\x00\xff--X"))


@pytest.mark.parametrize(
    "head",
    [
        MODEL,
        b"Content-Disposition: form-data; name=model",
        b'content-disposition:form-data;name="model"',
        b'Content-Disposition: FORM-DATA; Name="model"',
        b'Content-Disposition: form-data; name="Model"',
        MODEL + b"\r\nContent-Type: text/plain",
        MODEL + b"\r\nContent-Type: text/plain; charset=utf-8",
        MODEL + b'\r\nContent-Type: text/plain; charset="UTF-8"\r\nContent-Transfer-Encoding: 8bit',
        b"Content-Length: 9\r\nContent-Type: text/plain;charset=US-ASCII\r\n" + MODEL,
    ],
)
def test_the_ways_in_which_clients_write_a_field(head: bytes) -> None:
    assert form_field(form((FILE, b"x"), (head, b"whisper-1")), KIND, "model") == "whisper-1"


@pytest.mark.parametrize(
    "kind",
    [
        KIND,
        'multipart/form-data; boundary="XX"',
        "Multipart/Form-Data;boundary=XX",
        "multipart/form-data ; boundary=XX ",
        "multipart/form-data; charset=utf-8; boundary=XX",
        "multipart/form-data; Boundary=XX; charset=UTF-8",
    ],
)
def test_content_types(kind: str) -> None:
    assert form_field(GOOD, kind, "model") == "whisper-1"


@pytest.mark.parametrize("boundary", ["X", "----WebKitFormBoundaryAbC", "a" * 70, "'()+_,-./:=?", "a b"])
def test_boundaries(boundary: str) -> None:
    body = form((MODEL, b"m"), boundary=boundary.encode())
    assert form_field(body, f'multipart/form-data; boundary="{boundary}"', "model") == "m"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (form((FILE, b"x")), ""),
        (form((MODEL, b"")), ""),
        (b"--XX--\r\n", ""),
        (b"--XX--", ""),
        (form((MODEL, b"m"))[:-2], "m"),
        (b"\r\n" + form((MODEL, b"m")), "m"),
        (form((MODEL, b"m")) + b"\r\n", "m"),
        (form((MODEL, b" m\r\n")), " m\r\n"),
        (form((MODEL, "mödel".encode())), "mödel"),
        (form((FILE, b'name="model"\r\n\r\nx'), (MODEL, b"m")), "m"),
        (form((b'Content-Disposition: form-data; name="file"; filename="; name=model; "', b"x")), ""),
        (
            form((b'Content-Disposition: form-data; name="file"; filename="a\\"b\\\\"', b"x"), (MODEL, b"m")),
            "m",
        ),
        (
            form(
                (b"Content-Disposition: form-data; name=file; filename=a; filename*=utf-8''%C3%A4", b"x"),
                (MODEL, b"m"),
            ),
            "m",
        ),
        (form((b'Content-Disposition: form-data; name="models"', b"x"), (MODEL, b"m")), "m"),
    ],
)
def test_bodies(body: bytes, expected: str) -> None:
    assert form_field(body, KIND, "model") == expected


@pytest.mark.parametrize("second", [MODEL, b'Content-Disposition: form-data; name="MODEL"'])
def test_a_field_that_stands_twice(second: bytes) -> None:
    body = form((MODEL, b"a"), (second, b"a"))
    assert refused(body) == "400 the form field model stands more than once"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="XX',
        'multipart/form-data; boundary="X\\X"',
        "multipart/form-data; boundary=X X",
        "multipart/form-data; boundary=" + "X" * 71,
        'multipart/form-data; boundary="XX "',
        "multipart/form-data; boundary=YY; boundary=XX",
        "multipart/form-data; xboundary=YY; boundary=XX",
        "multipart/form-data; boundary*=utf-8''XX",
        "multipart/form-data; boundary = XX",
        "multipart/form-data, boundary=XX",
        # A server that decodes names by this would see another form.
        "multipart/form-data; charset=utf-7; boundary=XX",
        "multipart/form-data; charset=utf-16; boundary=XX",
        # Another type, in which a provider looks for other things.
        "multipart/mixed; boundary=XX",
        "application/json; a=multipart/form-data; boundary=XX",
        'application/json; a="multipart/form-data; boundary=XX"',
    ],
)
def test_content_types_that_are_refused(kind: str) -> None:
    assert refused(GOOD, kind) == "400 Content-Type is not plain multipart/form-data"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"model":"gpt-4o"}',
        b'{"model":"--XX"}',
        b"--XX",
        b"--XX\r\n",
        b"--XX\r\n" + MODEL + b"\r\n\r\nm",
        b"--XX\r\n" + MODEL + b"\r\n\r\nm\r\n--XX\r\n",
        b"--YY\r\n" + MODEL + b"\r\n\r\nm\r\n--YY--\r\n",
        b"preamble\r\n" + GOOD,
        GOOD + b"epilogue",
        GOOD + form((MODEL, b"other")),
        # Delimiters where only some parsers see one.
        form((FILE, b"x--XX\r\n" + MODEL + b"\r\n\r\nm")),
        form((FILE, b"x\n--XX\n" + MODEL + b"\n\nm")),
        form((FILE, b"x\r--XX\r\n" + MODEL + b"\r\n\r\nm")),
        form((MODEL, b"m")).replace(b"\r\n", b"\n"),
        b"--XX \r\n" + MODEL + b"\r\n\r\nm\r\n--XX--\r\n",
        b"--XXX\r\n" + MODEL + b"\r\n\r\nm\r\n--XX--\r\n",
        b"--XX--\r\n--XX\r\n" + MODEL + b"\r\n\r\nm\r\n--XX--\r\n",
        b"--XX\r\n" + MODEL + b"\r\n\r\nm\r\n--XX--x\r\n",
    ],
)
def test_bodies_that_are_refused(body: bytes) -> None:
    assert refused(body) == "400 the body is not plain multipart/form-data"


HEAD = "400 a part's header is not plain multipart/form-data"
DISPOSITION = "400 a part's Content-Disposition is not plain multipart/form-data"
FIELD = "400 the field model is not plain multipart/form-data"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"", HEAD),
        (b"nonsense", HEAD),
        (b"Content-Type: text/plain", DISPOSITION),
        (MODEL + b"\r\n" + MODEL, HEAD),
        (MODEL.replace(b";", b";\r\n"), HEAD),
        (MODEL.replace(b"; ", b";\n "), HEAD),
        (b"X: y\n" + MODEL, HEAD),
        (b"X: y\r" + MODEL, HEAD),
        (b"X: \x00\r\n" + MODEL, HEAD),
        (b" " + MODEL, HEAD),
        (MODEL.replace(b":", b" :"), HEAD),
        (b"Content-Disposition: form-data; name*=utf-8''model; name=\"x\"", DISPOSITION),
        (b'Content-Disposition: form-data; name = "model"', DISPOSITION),
        (b'Content-Disposition: form-data; name="x"; name="model"', DISPOSITION),
        (b'Content-Disposition: form-data; name="mo\\del"', DISPOSITION),
        (b'Content-Disposition: form-data; name="model', DISPOSITION),
        (b'Content-Disposition: form-data; name="x"model', DISPOSITION),
        (b'Content-Disposition: form-data, name="model"', DISPOSITION),
        (b'Content-Disposition: attachment; name="model"', DISPOSITION),
        (b'Content-Disposition: form-data; filename="x"', DISPOSITION),
        (b"Content-Disposition: form-data", DISPOSITION),
        (MODEL + b'; filename="x"', FIELD),
        (MODEL + b"\r\nContent-Transfer-Encoding: base64", FIELD),
        (MODEL + b"\r\nContent-Transfer-Encoding: quoted-printable", FIELD),
        (MODEL + b"\r\nContent-Type: application/json", FIELD),
        (MODEL + b"\r\nContent-Type: text/plain; charset=utf-16", FIELD),
        (MODEL + b"\r\nX: " + b"y" * 20_000, "400 a part is not plain multipart/form-data"),
    ],
)
def test_parts_that_are_refused(head: bytes, message: str) -> None:
    assert refused(form((FILE, b"x"), (head, b"m"))) == message


def test_a_value_that_is_no_text_is_refused() -> None:
    assert refused(form((MODEL, b"gpt\xff"))) == FIELD


def test_other_fields_may_hold_anything() -> None:
    head = b"Content-Disposition: form-data; name=x\r\nContent-Transfer-Encoding: base64"
    assert form_field(form((head, b"\xff"), (MODEL, b"m")), KIND, "model") == "m"


names = st.text("abc model[]_-é", min_size=1, max_size=8).filter(lambda name: name.lower() != "model")


@given(
    st.text(max_size=20),
    st.dictionaries(names, st.text(max_size=10), max_size=3),
    st.none() | st.tuples(st.text("aé \"\\;=:'.%", min_size=1, max_size=12), st.binary(max_size=30)),
)
def test_what_a_real_client_sends_is_read(
    model: str, others: Mapping[str, str], file: tuple[str, bytes] | None
) -> None:
    upload = file or ("a.wav", b"RIFF")
    sent = httpx.Request(
        "POST", "http://localhost", data={**others, "model": model}, files={"file": (*upload, "audio/wav")}
    )
    assert form_field(sent.read(), sent.headers["content-type"], "model") == model


pieces = st.sampled_from(
    [
        b"--XX",
        b"--",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        MODEL,
        b"--XX\r\n" + MODEL + b"\r\n\r\n",
        b"\r\n--XX--\r\n",
        b"evil",
        b'form-data; name="model"',
        b"Content-Disposition: ",
        b"; name=model",
        b" ",
    ]
)


@given(st.lists(pieces, max_size=10).map(b"".join))
def test_another_parser_sees_the_same_field(body: bytes) -> None:
    try:
        found = form_field(body, KIND, "model")
    except Refusal:
        return
    message = email.message_from_bytes(
        b"Content-Type: " + KIND.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    parts = message.get_payload() if message.is_multipart() else []
    fields = [
        part.get_payload(decode=True)
        for part in parts
        if part.get_param("name", header="content-disposition") == "model"  # type: ignore[union-attr]
    ]
    assert b"".join(fields) == found.encode()  # type: ignore[arg-type]


def test_a_long_hostile_header_takes_no_time() -> None:
    blanks = b" " * 1_000_000
    for head in (b"x:" + blanks + b"y" + blanks + b"\x00", MODEL + blanks + b";" + blanks + b"x"):
        assert refused(form((head, b"m"))) is not None
    assert refused(GOOD, "multipart/form-data;" + " " * 60_000 + "=") is not None
