import pytest
import torch


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fresh memory (`torch.empty` and what torch allocates itself) holds NaN."""
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
