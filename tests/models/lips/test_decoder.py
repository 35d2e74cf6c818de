"""The decoder's first block, which does not repeat what is the same in all rows, beside a plain one that does."""

import pytest
import torch

from models.lips.decoder import ROWS, GeneratorBlock, SpreadingBlock


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("outputs", [6, 7])  # of 7 inputs: with a shortcut's convolution, and without
def test_columns_need_not_be_repeated(training, outputs):
    torch.manual_seed(0)
    plain, spreading = GeneratorBlock(7, outputs), SpreadingBlock(5, 2, outputs)
    for norm in (plain.norm1, plain.norm2):
        torch.nn.init.uniform_(norm.weight, 0.5, 2), torch.nn.init.normal_(norm.bias)
        norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2)
    spreading.load_state_dict(plain.state_dict())
    columns, rows = torch.randn(3, 5, 11, requires_grad=True), torch.randn(3, 2, ROWS, 11, requires_grad=True)
    given = torch.cat([columns.unsqueeze(2).expand(-1, -1, ROWS, -1), rows], dim=1)
    made, wanted = spreading.train(training)(columns, rows), plain.train(training)(given)
    torch.testing.assert_close(made, wanted, atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(made)
    inputs = (columns, rows)
    own = torch.autograd.grad((made * weight).sum(), [*inputs, *spreading.parameters()])
    theirs = torch.autograd.grad((wanted * weight).sum(), [*inputs, *plain.parameters()])
    for one, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)
    for name, statistics in plain.named_buffers():
        if statistics.is_floating_point():  # 33 columns have more of a variance than 660 places
            torch.testing.assert_close(spreading.get_buffer(name), statistics, atol=1e-4, rtol=0.05)
