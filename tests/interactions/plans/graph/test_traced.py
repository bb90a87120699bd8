"""Traced networks against the networks themselves in float64, and what must not be traced."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harsanyi.interactions import MaskedModel, Players, evaluate
from harsanyi.interactions.game.forward import channels_last
from harsanyi.interactions.plans.graph.folding import PIECE_NUMBERS, _scaled
from harsanyi.interactions.plans.graph.trace import trace
from harsanyi.interactions.plans.plan import NotApplicable
from harsanyi.interactions.plans.regions.tables import tables_plan

# The same sums, batch norm multiplied into the weights beforehand: a few hundred terms near 1 in float64.
EXACT = 1e-12


class Net(nn.Module):
    """A convolution, then whatever is asked."""

    def __init__(self, then, width=4, **parts):
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.then = then
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.then(self, self.body(x))


def made(build):
    """A network in float64, with statistics and gains of its batch norms that do something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build()
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2.0)
                if part.affine:
                    nn.init.normal_(part.weight)
                    nn.init.normal_(part.bias)
        return net.double().eval()


def batch_of(length, seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, channels, 8, 8, dtype=torch.float64, generator=generator)


def traced_like(net, lengths=(1, 3, 5)):
    """The trace, after it has given the network's numbers for batches that are not the traced one."""
    channels = next((part.in_channels for part in net.modules() if isinstance(part, nn.Conv2d)), 3)
    traced = trace(net, batch_of(2, channels=channels))
    for length in lengths:
        batch = batch_of(length, length, channels)
        expected = net(batch.clone())
        outputs = traced.run(0, len(traced.steps), {traced.source: batch}, length)
        torch.testing.assert_close(outputs[traced.result], expected, rtol=0, atol=EXACT)
    return traced


def names(traced):
    return [str(step.target) for step in traced.steps]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("padding", [1, "same"])
def test_batch_norm_goes_into_the_convolution_before_it(bias, affine, padding):
    build = lambda: nn.Sequential(  # noqa: E731
        nn.Conv2d(4, 6, 3, padding=padding, bias=bias, groups=2), nn.BatchNorm2d(6, affine=affine), nn.ReLU()
    )
    traced = traced_like(made(build))
    assert len(traced.steps) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_scaled_in_pieces_to_the_same_bits_and_stay_as_they_are(dtype):
    """More numbers than one piece, from and to either order of memory; the last piece is a shorter one."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(70, 64, 3, 3, dtype=dtype, generator=generator)
    scale = torch.rand(70, dtype=torch.float64, generator=generator)
    assert weight.numel() > PIECE_NUMBERS
    for laid_out in (weight, channels_last(weight)):
        before = laid_out.clone()
        expected = torch.stack([(w.double() * s).to(dtype) for w, s in zip(before, scale, strict=True)])
        for images_last, memory in ((True, torch.channels_last), (False, torch.contiguous_format)):
            scaled = _scaled(laid_out, scale, images_last)
            assert torch.equal(scaled, expected)
            assert scaled.is_contiguous(memory_format=memory)
        assert torch.equal(laid_out, before)


@pytest.mark.parametrize("index", [0, -1])
@pytest.mark.parametrize("axes", [(1, 1), (-3, -3), (1, -3)])
def test_a_selected_channel_whose_axis_is_put_back_is_a_slice(axes, index):
    """So pictures are normalised channel by channel in GoogLeNet and Inception."""
    selected, put_back = axes
    net = made(lambda: Net(lambda self, x: 2 * x.select(selected, index).unsqueeze(put_back) + x))
    assert not {"aten.select.int", "aten.unsqueeze.default"} & set(names(traced_like(net)))
    masked = MaskedModel(
        nn.Sequential(net, nn.Conv2d(4, 4, 3).double(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        batch_of(2),
        Players.grid(8, 8, 2, 2),
        labels=[0, 0],
    )
    tables = evaluate(masked, plan="tables", progress=False)
    torch.testing.assert_close(tables, evaluate(masked, plan="dense", progress=False), rtol=0, atol=EXACT)


def test_a_selected_place_is_no_slice_where_it_is_read_or_its_axis_is_another():
    net = made(lambda: Net(lambda self, x: x.select(1, 0).unsqueeze(2)))
    assert names(traced_like(net))[-2:] == ["aten.select.int", "aten.unsqueeze.default"]
    net = made(lambda: Net(lambda self, x: (one := x.select(1, 0)).unsqueeze(1) + one.mean(2)[:, None, None]))
    assert {"aten.select.int", "aten.slice.Tensor"} < set(names(trace(net, batch_of(2))))


def test_batch_norm_stays_where_the_convolution_is_read_elsewhere_too():
    net = made(lambda: Net(lambda self, x: self.norm(x) + x, norm=nn.BatchNorm2d(4)))
    assert any("batch_norm" in name for name in names(traced_like(net)))


def test_batch_norm_without_a_convolution_before_it():
    net = made(lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)))
    traced = traced_like(net)
    assert sum("batch_norm" in name for name in names(traced)) == 1


def test_a_module_used_twice_keeps_its_own_weights():
    """One convolution before two batch norms: each is folded into a copy."""
    parts = {"twice": nn.Conv2d(4, 4, 1), "left": nn.BatchNorm2d(4), "right": nn.BatchNorm2d(4)}
    net = made(lambda: Net(lambda self, x: self.right(self.twice(self.left(self.twice(x)))), **parts))
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    assert len(traced_like(net).steps) == 3
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())


def in_place(self, x):
    y = F.relu_(x[:, :2])
    x.mul_(2.0).add_(1.0)
    x[:, 3] = 0.5
    return torch.cat([x, y, F.silu(x, inplace=True)], 1)


VIEWED = {
    "flattened": lambda self, x: x.view(x.size(0), -1),
    "shuffled": lambda self, x: x.view(x.size(0), 2, 2, 8, 8).transpose(1, 2).reshape(x.size(0), 4, 8, 8),
    "shuffled by name": lambda self, x: F.channel_shuffle(x, 2),
    "batch and channels joined": lambda self, x: x.view(x.size(0) * 2, 2, 8, 8).relu().view(-1, 4, 8, 8),
    "in place": in_place,
    "tuple": lambda self, x: (x, x + 1)[1],
    "prelu": lambda self, x: F.prelu(x, torch.arange(4.0, dtype=x.dtype)),
    "dropout that is off": lambda self, x: F.dropout2d(F.dropout(x, training=False), training=False),
    "attention": lambda self, x: F.scaled_dot_product_attention(x, x, x),
    "batch norm by given statistics": lambda self, x: F.batch_norm(x, x.new_zeros(4), x.new_ones(4) * 2),
    "randomised only in training": lambda self, x: F.rrelu(x),
}


@pytest.mark.parametrize("name", VIEWED)
def test_operations_give_the_networks_numbers(name):
    traced_like(made(lambda: Net(VIEWED[name])))


READ_TWICE = {
    "a sum of both": lambda self, x: pooled(self, F.relu(x) + x),
    "the same name twice": lambda self, x: pooled(self, x + x),
    "through a view": lambda self, x: pooled(self, F.relu(x.flatten(2)).view_as(x) * x),
    "through what changes nothing": lambda self, x: pooled(self, F.silu(torch.positive(x)) - x),
    "of another shape": lambda self, x: pooled(self, x.mean((2, 3), keepdim=True) * x + x),
    "in a row": lambda self, x: pooled(self, F.relu(x.mul(2.0).add(x).sigmoid()) + F.hardtanh(x)),
}


@pytest.mark.parametrize("name", READ_TWICE)
def test_nothing_is_overwritten_that_is_read_again(name):
    traced_like(made(lambda: Net(READ_TWICE[name], head=nn.Linear(4, 3))))


def test_what_nobody_reads_again_is_overwritten():
    """A convolution's result and the sums that are made of it."""
    traced = traced_like(
        made(lambda: Net(lambda self, x: pooled(self, F.relu(x + 1.0)), head=nn.Linear(4, 3)))
    )
    kernels = [one.kernel for one in traced.calls[0, len(traced.steps)][0]]
    assert [torch.ops.aten.add_.Tensor, torch.ops.aten.relu_.default] == kernels[1:3]


def test_what_is_written_into_the_input_is_no_result():
    traced_like(made(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3))))


def test_parts_run_as_the_whole_does():
    """Cut anywhere: what lives at the cut is enough for the rest."""
    net = made(lambda: Net(lambda self, x: F.relu(self.more(x)) + x * x.sigmoid(), more=nn.Conv2d(4, 4, 1)))
    traced, batch = trace(net, batch_of(2)), batch_of(3)
    for cut in range(len(traced.steps) + 1):
        first = traced.run(0, cut, {traced.source: batch}, 3)
        assert set(first) == set(traced.live(cut))
        last = traced.run(cut, len(traced.steps), first, 3)
        torch.testing.assert_close(last[traced.result], net(batch), rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["flattened", "shuffled", "flattened after a copy"])
def test_numbers_do_not_depend_on_how_memory_lies(name):
    """Rows put together for the last part lie channels last."""
    copied = {"flattened after a copy": lambda self, x: x.tanh().permute(0, 2, 3, 1).flatten(1)}
    net = made(lambda: Net({**VIEWED, **copied}[name]))
    traced, batch = trace(net, batch_of(2)), batch_of(3)
    for cut in range(1, len(traced.steps)):
        first = traced.run(0, cut, {traced.source: batch}, 3)
        strided = {
            node: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for node, value in first.items()
        }
        last = traced.run(cut, len(traced.steps), strided, 3)
        torch.testing.assert_close(last[traced.result], net(batch), rtol=0, atol=EXACT)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return x * self.seen


REFUSED = {
    "control flow": (lambda self, x: x if x.sum() > 0 else -x, "cannot follow"),
    "a number taken out": (lambda self, x: x * float(x.max()), "cannot follow"),
    "noise": (lambda self, x: x + torch.rand_like(x), "draws at random"),
    "noise that is the same for all": (lambda self, x: x + torch.randn(4, 1, 1), "draws at random"),
    "noise of a generator": (
        lambda self, x: x + torch.randn(4, 1, 1, generator=torch.Generator().manual_seed(0)),
        "draws at random|Generator",  # which older torch.export does not take at all
    ),
    "dropout that is on": (lambda self, x: F.dropout(x), "draws at random"),
    "channel dropout that is on": (lambda self, x: F.dropout2d(x), "draws at random"),
    "leaks at random": (lambda self, x: F.rrelu(x, training=True), "draws at random"),
    "attention with dropout": (
        lambda self, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.1),
        "draws at random",
    ),
    "batch norm of the batch": (lambda self, x: F.batch_norm(x, None, None, training=True), "together"),
    "mean of the batch": (lambda self, x: x - x.mean(0, keepdim=True), "together"),
    "mean of everything": (lambda self, x: x - x.mean(), "together"),
    "the first of the batch": (lambda self, x: x - x[:1], "together"),
    "memory read as it lies": (
        lambda self, x: x.as_strided((x.size(0), 4, 8, 8), (256, 1, 32, 4)),
        "lie in memory",
    ),
    "a constant": (lambda self, x: torch.ones(2, 3), "does not depend"),
    "a length of its own": (lambda self, x: x.view(2, 4, 8, 8), "batch size was fixed while tracing"),
    "state": (lambda self, x: self.counting(x), "writes into its own buffers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_refused_with_its_reason(name):
    then, reason = REFUSED[name]
    with pytest.raises(NotApplicable, match=reason):
        trace(made(lambda: Net(then, counting=Counting())), batch_of(2))


def game_of(net, inputs=None, **options):
    inputs = batch_of(2) if inputs is None else inputs
    return MaskedModel(net, inputs, Players.grid(8, 8, 2, 2), labels=[0] * len(inputs), **options)


def pooled(self, x):
    return self.head(x.relu().mean((2, 3)))


def test_a_hook_is_refused():
    net = made(lambda: Net(pooled, head=nn.Linear(4, 3)))
    game = game_of(net)
    net.body.register_forward_hook(lambda module, given, output: output * 2)
    with pytest.raises(NotApplicable, match="body has forward hooks"):
        tables_plan(game)


MIXING = {
    "turned around": lambda self, x: pooled(self, x + x.flip(0)),
    "the next one": lambda self, x: pooled(self, x.roll(1, 0)),
    "softmax over the batch": lambda self, x: pooled(self, x.softmax(0)),
    "running sum": lambda self, x: pooled(self, x.cumsum(0)),
    "divided by the length": lambda self, x: pooled(self, x / x.size(0)),
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_a_batch_by_shapes_that_do_not_tell_is_refused_by_its_numbers(name):
    with pytest.raises(NotApplicable, match="others of its batch"):
        tables_plan(game_of(made(lambda: Net(MIXING[name], head=nn.Linear(4, 3)))))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return 2 * x

    @staticmethod
    def backward(context, gradient):
        return 3 * gradient


RETURNED = {
    "mapping": lambda self, x: {"hidden": x, "logits": pooled(self, x)},
    "tuple": lambda self, x: (pooled(self, x), x),
    "own function": lambda self, x: pooled(self, Doubled.apply(x)),
}


@pytest.mark.parametrize("name", RETURNED)
def test_what_a_network_may_return_or_call(name):
    game = game_of(made(lambda: Net(RETURNED[name], head=nn.Linear(4, 3))))
    outputs = evaluate(game, plan="tables", progress=False)
    torch.testing.assert_close(outputs, evaluate(game, plan="dense", progress=False), rtol=0, atol=EXACT)


def test_modes_come_back():
    """In training mode this network would draw at random and norm by its batch; a game evaluates it."""
    parts = {"norm": nn.BatchNorm2d(4), "drop": nn.Dropout(), "head": nn.Linear(4, 3)}
    net = made(lambda: Net(lambda self, x: pooled(self, self.drop(self.norm(x))), **parts))
    net.train()
    net.drop.eval()
    modes = {name: part.training for name, part in net.named_modules()}
    game = game_of(net)
    outputs = evaluate(game, plan="tables", progress=False)
    assert {name: part.training for name, part in net.named_modules()} == modes
    torch.testing.assert_close(outputs, evaluate(game, plan="dense", progress=False), rtol=0, atol=EXACT)


def test_a_result_that_depends_on_shapes_alone():
    net = made(lambda: Net(lambda self, x: x.new_ones(x.size(0), 3)))
    traced_like(net)
    outputs = evaluate(game_of(net, score="logit"), plan="tables", progress=False)
    assert (outputs == 1).all()
