import warnings

import pytest
import torch

with warnings.catch_warnings():  # torch scripts its own decompositions when forward mode is first used, and warns of it
    warnings.simplefilter("ignore")
    import torch._decomp.decompositions_for_jvp  # noqa: F401


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)
