"""All stages of one training, in order, each booked to its phase."""

from generators.training.course import Course
from generators.training.denoiser import refuse_unshardable, train_adapter, train_denoiser
from generators.training.latents import encode_latents, fit_scale_factor
from generators.training.stage1 import train_stage1


def train_all(course: Course) -> None:
    """First stage, latents, denoiser, adapter; stages that are done are loaded, not repeated."""
    refuse_unshardable(course.recipe)
    ledger = course.ledger
    with ledger.phase("stage1_train"):
        train_stage1(course)
    with ledger.phase("encode_latents"):
        keys = encode_latents(course)
        course.record["scale_factor"] = fit_scale_factor(course, keys)
    with ledger.phase("denoiser_train"):
        train_denoiser(course, keys)
    if course.recipe.adapter is not None:
        with ledger.phase("adapter_train"):
            train_adapter(course, keys)
    course.model.eval()
