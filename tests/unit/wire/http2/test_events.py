"""Events are compared by what they hold; a block keeps what the layer above made of it."""

from __future__ import annotations

from coordinator.wire.http2 import Block, Content, Headers


def test_block() -> None:
    block = Block(((b"a", b"b"),), 5)
    assert (block.fields, block.content_length, block.memo) == (((b"a", b"b"),), 5, None)
    block.memo = "parsed"
    assert Headers(1, block, True) == Headers(1, block, True)
    assert Headers(1, block, True) != Headers(1, Block(block.fields, 5), True)
    assert Content(1, b"x", False, 1) != Content(1, b"x", False, 2)
