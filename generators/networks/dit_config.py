"""Sizes of a diffusion transformer, in the names of the official YAML files."""

from typing import Annotated

from pydantic import Field, model_validator

from audit.errors import BadInput
from audit.result import Record

Size = Annotated[int, Field(ge=1)]


class DiTConfig(Record):
    """``dit.params`` of an official YAML.

    Attributes:
        input_size: Latent grid, 3 sizes for VolDiT and 4 (z, h, w, t) for CardioDiT; None until
            it is known from the cohort.
        patch_size: Patch edge per axis; one number stands for all axes.
        in_channels: Latent channels.
        hidden_size: Width.
        depth: Number of blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of a block's MLP over ``hidden_size``.
        class_dropout_prob: Share of labels replaced by the null class in training.
        num_classes: Classes; 0 for none.
        learn_sigma: Whether the variance is predicted too, which doubles the output channels.
        flash_attention: Accepted for the official files; attention is fused wherever torch can.
        attn_drop: Dropout of attention weights and projection in training; the official code has
            0.1 in VolDiT and 0 in CardioDiT, which None stands for.
        mlp_drop: Dropout in the MLP in training; the same.
    """

    input_size: tuple[Size, ...] | None = Field(None, min_length=3, max_length=4)
    patch_size: Size | tuple[Size, ...]
    in_channels: Size
    hidden_size: Size
    depth: Size
    num_heads: Size
    mlp_ratio: float = Field(4.0, gt=0)
    class_dropout_prob: float = Field(0.0, ge=0, le=1)
    num_classes: int = Field(0, ge=0)
    learn_sigma: bool = False
    flash_attention: bool = True
    attn_drop: float | None = Field(None, ge=0, lt=1)
    mlp_drop: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> "DiTConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} over {self.num_heads} heads")
        if self.input_size is None:
            return self
        if len(self.patch) != len(self.input_size):
            raise ValueError(f"patch_size {self.patch_size} for input_size {self.input_size}")
        if any(n % p for n, p in zip(self.input_size, self.patch, strict=True)):
            raise ValueError(
                f"input_size {list(self.input_size)} does not divide by patch_size "
                f"{list(self.patch)}; choose a latent size that is a multiple of the patch"
            )
        if len(self.input_size) == 4 and self.hidden_size % 8:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide by 8 (4D positions)")
        return self

    @property
    def latent(self) -> tuple[int, ...]:
        """``input_size``, which a network needs.

        Raises:
            BadInput: It is not known yet.
        """
        if self.input_size is None:
            raise BadInput("a DiT without input_size", "the latent's grid")
        return self.input_size

    @property
    def patch(self) -> tuple[int, ...]:
        """Patch edge of each axis."""
        if isinstance(self.patch_size, int):
            return (self.patch_size,) * len(self.latent)
        return self.patch_size

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens per axis."""
        return tuple(n // p for n, p in zip(self.latent, self.patch, strict=True))

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    def dropout(self, given: float | None) -> float:
        """A rate, or the official default for this rank."""
        return given if given is not None else (0.1 if len(self.latent) == 3 else 0.0)
