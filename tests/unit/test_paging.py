"""Pages: sizes that hold, tokens that belong to one list."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer_service.errors import InvalidInputError, PageTokenError
from analyzer_service.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, page, page_limit, page_offset


@pytest.mark.parametrize(
    ("asked", "given_size"), [(0, DEFAULT_PAGE_SIZE), (1, 1), (7, 7), (10**9, MAX_PAGE_SIZE)]
)
def test_page_sizes(asked: int, given_size: int) -> None:
    assert page_limit(asked) == given_size


def test_a_negative_page_size_names_the_field() -> None:
    with pytest.raises(InvalidInputError) as caught:
        page_limit(-1)
    assert caught.value.field == "page_size"
    assert "-1" in caught.value.message


@given(st.integers(1, 300), st.integers(1, 40))
def test_walking_a_list_sees_each_item_once(total: int, size: int) -> None:
    seen: list[int] = []
    token = ""
    while True:
        offset = page_offset(token, "numbers")
        items = list(range(offset, min(offset + size, total)))
        current = page(items, offset=offset, total=total, scope=("numbers",))
        seen += current.items
        token = current.next_token
        if not token:
            break
    assert seen == list(range(total))


@pytest.mark.parametrize(
    "token",
    ["nonsense", "é", base64.urlsafe_b64encode(b"[5]").decode(), base64.urlsafe_b64encode(b"{}").decode(),
     base64.urlsafe_b64encode(b"[-1, 0]").decode(), base64.urlsafe_b64encode(b"3").decode()],
)  # fmt: skip
def test_a_foreign_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenError) as caught:
        page_offset(token, "users")
    assert caught.value.field == "page_token"


def test_a_token_of_another_list_is_refused() -> None:
    token = page([1], offset=0, total=2, scope=("users", "expert")).next_token
    assert page_offset(token, "users", "expert") == 1
    with pytest.raises(PageTokenError):
        page_offset(token, "users", "beginner")
