"""How few multiply-adds a transformer's table can take: python -m benchmarks.plans.floor

Closed forms, in products of weights and tokens and in attention; moves are not counted. docs/engine.md says
what the floor assumes. tests/benchmarks/test_floor.py compares `dense` and `planned` with the plan's own
counts.
"""

from dataclasses import dataclass, replace

from benchmarks.tables import Rows, show


@dataclass(frozen=True)
class Encoder:
    """An encoder that is read at one token.

    Attributes:
        title: its name.
        tokens, width, hidden, blocks: of the tokens and the blocks.
        embedding: multiply-adds of one token's embedding.
        embedded: tokens with such an embedding.
        head: multiply-adds after the last block.
        fused: whether one linear layer gives queries, keys and values, so that none can be left out.
    """

    title: str
    tokens: int
    width: int
    hidden: int
    blocks: int
    embedding: int
    embedded: int
    head: int
    fused: bool

    def of_blocks(self, blocks: int) -> "Encoder":
        """The same with another number of blocks."""
        return replace(self, blocks=blocks)

    @property
    def inner_block(self) -> int:
        """A block before the last, of one coalition: linear layers, and both products of attention."""
        linear = 4 * self.width**2 + 2 * self.width * self.hidden
        return self.tokens * linear + 2 * self.tokens**2 * self.width

    @property
    def one_token(self) -> int:
        """The last block behind its attention, and the head, for the token that is read."""
        return self.width**2 + 2 * self.width * self.hidden + self.head

    def dense(self, n: int) -> int:
        """Of the plan "dense": the last block only for its token, but for keys and values."""
        queries = self.tokens if self.fused else 1
        last = (2 * self.tokens + queries) * self.width**2 + 2 * self.tokens * self.width
        embedded = self.embedded * self.embedding
        return 2**n * (embedded + (self.blocks - 1) * self.inner_block + last + self.one_token)

    def planned(self, n: int, rows: int) -> int:
        """Of the plan "tables": embeddings and the first queries, keys and values for each row.

        Args:
            n: players.
            rows: of all tokens, two for a token of one player.
        """
        of_one = self.embedded * self.embedding + 3 * self.tokens * self.width**2
        constant = self.tokens - self.embedded if self.embedding else 0  # the class token has no embedding
        of_rows = (rows - constant) * self.embedding + 3 * rows * self.width**2
        return self.dense(n) - 2**n * of_one + of_rows

    def floor(self, n: int) -> int:
        """What is left for each coalition if all that may be shared costs nothing."""
        first = self.tokens * self.width * self.hidden
        last = self.width**2 + self.one_token
        return 2**n * (first + (self.blocks - 2) * self.inner_block + last)


def vision(title: str, width: int) -> Encoder:
    """A vision transformer for 224² images, patches of 16² and 1,000 classes, in timm's form."""
    return Encoder(title, 197, width, 4 * width, 12, 3 * 16**2 * width, 196, 1000 * width, fused=True)


ENCODERS = (
    vision("ViT-tiny", 192),
    vision("ViT-small", 384),
    vision("ViT-base", 768),
    Encoder("BERT, 6 layers, 26 tokens", 26, 384, 1536, 6, 0, 26, 384**2 + 2 * 384, fused=False),
    Encoder("BERT-base, 12 layers, 26 tokens", 26, 768, 3072, 12, 0, 26, 768**2 + 2 * 768, fused=False),
)


def table() -> Rows:
    """A row for each network and number of players."""
    for encoder in ENCODERS:
        for n in (10, 12):
            # The class token, or the first and last ones, belong to no player; others to one each.
            fixed = 1 if encoder.embedding else 2
            rows = fixed + 2 * (encoder.tokens - fixed)
            dense = encoder.dense(n)
            yield {
                "network": encoder.title,
                "n": n,
                "dense, multiply-adds": f"{dense:,}",
                "tables": f"{encoder.planned(n, rows) / dense:.4f}",
                "floor, multiply-adds": f"{encoder.floor(n):,}",
                "floor": f"{encoder.floor(n) / dense:.4f}",
            }


if __name__ == "__main__":
    show(table())
