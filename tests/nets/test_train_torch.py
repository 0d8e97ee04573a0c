"""The PyTorch training script: its network is ferkit's, and a small run of it writes what it says."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from ferkit.faces import FaceExtractor
from ferkit.features import NetworkFeatures
from ferkit.model import RBFSVM
from ferkit.model.calibration import log_softmax
from ferkit.nets.weights import from_torch, load_weights
from ferkit.records import face_hashes
from ferkit.sources import load, sample

torch = pytest.importorskip("torch", reason="the training script needs PyTorch, which ferkit does not install")

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SMALL = ["--widths", "8,8,16", "--strides", "2,2", "--epochs", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        patch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield importlib.import_module("train_torch")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    script.main(["sample", "--out", str(out), *SMALL])
    return out


@pytest.mark.parametrize("gates", [True, False])
def test_keras_and_onnx_give_the_numbers_of_torch(script, gates):
    pytest.importorskip("tensorflow", reason="the other side of the comparison")
    import onnxruntime

    from ferkit.nets.export import to_onnx
    from ferkit.nets.weights import Weights

    torch.manual_seed(0)
    net = script.Net((8, 16, 16, 24), (2, 1, 2), gates=gates).train()
    with torch.no_grad():  # statistics other than 0 and 1
        net(torch.randn(64, 1, 48, 48) * 2 + 1)
    net.eval()
    faces = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)
    with torch.no_grad():
        expected = [out.numpy() for out in net(script.standardise(torch.from_numpy(faces)[:, None]))]
    arrays = from_torch(net.state_dict())
    heads = {"votes": script.EXPRESSIONS}
    weights = Weights(script.FER2013, arrays, (8, 16, 16, 24), (2, 1, 2), heads=heads, gates=gates)
    batch = faces[..., None].astype(np.float32)
    got = weights.model(extra_heads={"votes": 8})(batch, training=False)
    np.testing.assert_allclose(got["logits"].numpy(), expected[0], atol=1e-4)
    np.testing.assert_allclose(got["votes"].numpy(), expected[1], atol=1e-4)
    session = onnxruntime.InferenceSession(to_onnx(weights), providers=["CPUExecutionProvider"])
    for got_one, expected_one in zip(session.run(["logits", "votes"], {"faces": batch}), expected, strict=True):
        np.testing.assert_allclose(got_one, expected_one, atol=1e-4)


def test_run_writes_weights_and_the_faces_it_saw(script, run):
    weights = load_weights(run / "net.npz")
    assert weights.labels == script.FER2013
    assert weights.widths == (8, 8, 16)
    state = torch.load(run / "net.pt", weights_only=True)
    for name, array in from_torch(state).items():
        np.testing.assert_array_equal(weights.arrays[name], array)
    data = load("sample")
    twins = script.near_groups(data.pictures, held_out=data.splits == "PublicTest")[1]
    faces = data.pictures[(data.splits == "Training") & ~twins]
    np.testing.assert_array_equal(np.load(run / "seen.npy"), np.unique(face_hashes(faces)))
    np.testing.assert_array_equal(weights.seen, np.load(run / "seen.npy"))


def test_run_goes_on_from_its_checkpoint_and_ends_the_same(script, run, tmp_path, monkeypatch, capsys):
    save = script.Training.save

    def interrupted(self, path):
        save(self, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(script.Training, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        script.main(["sample", "--out", str(tmp_path), *SMALL])
    monkeypatch.setattr(script.Training, "save", save)
    script.main(["sample", "--out", str(tmp_path), *SMALL])
    assert "goes on after epoch 1" in capsys.readouterr().out
    one, other = (torch.load(folder / "net.pt", weights_only=True) for folder in (run, tmp_path))
    for name, value in one.items():
        np.testing.assert_allclose(value.numpy(), other[name].numpy(), rtol=1e-3, atol=1e-4)


def test_teachers_are_asked_once(script, tmp_path, monkeypatch):
    asked = []

    def taught_shares(pictures, teachers):
        asked.append(teachers)
        return np.eye(7, dtype=np.float32)[np.arange(len(pictures)) % 7]

    monkeypatch.setattr(script, "taught_shares", taught_shares)
    targets = []
    monkeypatch.setattr(script.Training, "run_epoch", lambda self: targets.append(self.data.targets) or 0.0)
    save = script.Training.save

    def stop(training, path):
        training.epoch += 1
        save(training, path)
        if training.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(script.Training, "save", stop)
    command = ["sample", "--out", str(tmp_path), *SMALL, "--teacher", "some.onnx"]
    with pytest.raises(KeyboardInterrupt):
        script.main(command)
    script.main(command)
    assert asked == [["some.onnx"]]
    one, other = targets
    np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert one.numpy()[load("sample").splits == "Training"].max() > 0.5 + 0.5 / 7


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_steps_of_muon_are_nearly_orthogonal(script, shape):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    u, _, v = np.linalg.svd(x.numpy(), full_matrices=False)
    got = script.orthogonal(x).numpy()
    assert 0.5 < np.linalg.svd(got, compute_uv=False).min() <= np.linalg.svd(got, compute_uv=False).max() < 1.3
    assert np.sum(got * (u @ v)) / np.linalg.norm(got) / np.linalg.norm(u @ v) > 0.97


def test_filters_keep_their_length(script):
    torch.manual_seed(0)
    net = script.Net((8, 16), (2,))
    optimizer = script.Optimizer(net, 0.1, 0.03)
    before = net.blocks[0].c1.weight.clone()
    for share in (0.0, 1.0):
        optimizer.set_share(share)
        optimizer.step(sum(out.square().mean() for out in net(torch.randn(32, 1, 16, 16))))
        length = net.blocks[0].c1.weight.norm().item()
        assert length == pytest.approx(16**0.5, rel=0.05)
    turned = torch.nn.functional.cosine_similarity(net.blocks[0].c1.weight.flatten(), before.flatten(), dim=0).item()
    assert 0.98 < turned < 0.9999


def test_exports_a_state_dict_and_a_checkpoint(script, run, tmp_path):
    for name, keep in (("average.pt", "net"), ("checkpoint.pt", "net"), ("checkpoint.pt", "average")):
        faces = ["sample"] if name == "average.pt" else []
        script.main([*faces, "--export", str(run / name), "--keep", keep, "--out", str(tmp_path), *SMALL])
        seen = np.load(run / "seen.npy") if faces else []
        np.testing.assert_array_equal(load_weights(tmp_path / "net.npz").seen, seen)
    last, average = (load_weights(folder / "net.npz").arrays["logits/kernel"] for folder in (run, tmp_path))
    assert not np.array_equal(last, average)


def test_several_weights_to_begin_with_are_averaged(script, run, tmp_path):
    files = [run / "net.pt", run / "average.pt", run / "checkpoint.pt"]
    script.main(["sample", "--out", str(tmp_path), *SMALL, "--epochs", "0", "--init", *map(str, files)])
    states = [torch.load(file, weights_only=True) for file in files]
    one, other, third = (state.get("net", state) for state in states)
    assert not torch.equal(one["blocks.0.c1.weight"], other["blocks.0.c1.weight"])
    mean = torch.load(tmp_path / "net.pt", weights_only=True)
    for name in ("blocks.0.c1.weight", "n.running_var"):
        torch.testing.assert_close(mean[name], (one[name] + other[name] + third[name]) / 3)


def test_augmented_faces_are_standardised_and_repeatable(script):
    faces = torch.from_numpy(load("sample").pictures[:64])[:, None].float()
    one, same = (script.augment(faces, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, script.augment(faces, torch.Generator().manual_seed(4)))
    assert float(one.mean((1, 2, 3)).abs().max()) < 0.5
    assert 0.5 < float(one.std((1, 2, 3)).mean()) < 1.1


def test_votes_are_found_by_line(script, tmp_path):
    path = tmp_path / "votes.csv"
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    path.write_text(f"{header}\nTraining,a,4,0,0,1,3,2,0,0,0,0\nTraining,b,1,0,0,0,0,0,0,0,4,5\n")
    shares, voted = script.read_votes(str(path), np.array(["x.csv:3", "x.csv:2"]))
    np.testing.assert_array_equal(voted, [False, True])
    np.testing.assert_allclose(shares[1], [0.3, 0.2, 0, 0, 0.1, 0, 0.4, 0])


def test_no_faces_is_a_usage_error(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main(["--out", str(tmp_path)])
    assert "expected FER2013's CSV" in capsys.readouterr().err


def test_small_faces_first(script, tmp_path, capsys):
    seen = []
    resized = script.resized
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "resized", lambda x, size: seen.append(size) or resized(x, size))
        script.main(["sample", "--out", str(tmp_path), *SMALL, "--sizes", "24,48"])
    assert set(seen) == {24, 48}
    assert seen == sorted(seen)
    with pytest.raises(SystemExit):
        script.main(["sample", "--out", str(tmp_path), "--sizes", "48,30"])
    assert "expected multiples of 8 up to 48" in capsys.readouterr().err


def test_a_network_may_be_for_small_faces(script, tmp_path):
    script.main(["sample", "--out", str(tmp_path), *SMALL, "--sizes", "24,32", "--no-gates"])
    weights = load_weights(tmp_path / "net.npz")
    assert (weights.input_size, weights.gates) == (32, False)


def test_views_are_asked_about_once_and_taken_in_turn(script, tmp_path, monkeypatch):
    asked, steps = [], []

    def taught_shares(pictures, teachers, mirror):
        asked.append((pictures, mirror))
        return np.eye(7, dtype=np.float32)[np.full(len(pictures), len(asked) - 1)]

    def step(self, picked, g, share, size, view):
        steps.append(view[1][picked].mean(0).argmax().item())
        return 0.0

    monkeypatch.setattr(script, "taught_shares", taught_shares)
    monkeypatch.setattr(script.Training, "step", step)
    more = ["--teacher", "some.onnx", "--views", "2", "--teacher-share", "0.9", "--epochs", "3", "--batch", "32"]
    script.main(["sample", "--out", str(tmp_path), *SMALL, *more])
    assert [mirror for _, mirror in asked] == [False, False]
    assert not np.array_equal(asked[0][0], asked[1][0])
    thirds = np.array_split(steps, 3)
    assert [set(part.tolist()) for part in thirds] == [{0}, {1}, {0}]


def test_an_svm_is_asked_about_faces_that_it_did_not_see(script, run, tmp_path):
    kernel_teacher = importlib.import_module("kernel_teacher")
    data = sample(n=70, seed=4)
    faces, codes = FaceExtractor().fit_transform(data.pictures).crops, np.unique(data.labels, return_inverse=True)[1]
    faces[1], codes[1] = faces[0], codes[0]
    teacher = kernel_teacher.KernelTeacher(run / "net.onnx", faces, codes)
    assert teacher.fold[0] == teacher.fold[1]
    assert len(teacher.svms) == 5
    shares = teacher.log_shares(faces)
    np.testing.assert_allclose(np.exp(shares).sum(axis=1), 1, rtol=1e-6)
    own = teacher.fold == 2
    changed = np.where(own, (codes + 1) % 7, codes)  # what a fold's own labels say is not learnt for that fold
    numbers = NetworkFeatures(run / "net.onnx", output="map", pool=2).fit_transform(faces)
    fitted = RBFSVM(n_components=None, loss="squared", calibrate=False).fit(numbers[~own], changed[~own])
    alone = NetworkFeatures(run / "net.onnx", output="map", pool=2, mirror=False).fit_transform(faces[own])
    np.testing.assert_allclose(
        shares[own], log_softmax(fitted.decision_function(alone) / teacher.temperature), rtol=1e-4, atol=1e-5
    )


def test_views_may_be_told_by_an_svm_too(script, run, tmp_path, capsys):
    more = ["--teacher", str(run / "net.onnx"), "--views", "1", "--kernel", "--epochs", "1"]
    script.main(["sample", "--out", str(tmp_path), *SMALL, *more])
    assert "of the faces that it did not see" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        script.main(["sample", "--out", str(tmp_path / "x"), *SMALL, "--kernel"])
    assert "Got --kernel without --views" in capsys.readouterr().err


@pytest.fixture
def wide(script, tmp_path):
    """A network with statistics of its own, and the file of its weights."""
    torch.manual_seed(1)
    net = script.Net((16, 16, 24, 24), (2, 1, 2))
    faces = torch.from_numpy(load("sample").pictures)[:, None]
    with torch.no_grad():
        for _ in range(30):
            net(script.standardise(faces[:256]))
    weights = script.Weights(
        script.FER2013, from_torch(net.state_dict()), (16, 16, 24, 24), (2, 1, 2), heads={"votes": script.EXPRESSIONS}
    )
    script.save_weights(weights, tmp_path / "wide.npz")
    return net.eval(), str(tmp_path / "wide.npz")


def test_weights_are_opened_as_they_were(script, wide):
    net, path = wide
    x = torch.randn(4, 1, 48, 48)
    with torch.no_grad():
        for one, other in zip(importlib.import_module("torch_net").opened(path)(x), net(x), strict=True):
            torch.testing.assert_close(one, other)


def test_a_shrunk_network_says_nearly_the_same(script, wide):
    net, path = wide
    data = script.read("sample")
    x = script.standardise(data.faces[torch.from_numpy(data.train[:64])])
    near = []
    for widths in ((16, 16, 24, 24), (12, 12, 16, 16), (4, 4, 6, 6)):
        small = script.Net(widths, (2, 1, 2), gates=False)
        small.load_state_dict(script.shrunk(path, small, data.faces[data.train]))
        with torch.no_grad():
            one, other = (found[0] - found[0].mean(0) for found in (small.eval()(x), net(x)))
        near.append(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0).item())
    assert near[0] > 0.99
    assert near[0] > near[1] > max(near[2], 0.8)


@pytest.mark.parametrize(
    ("widths", "strides", "gates"),
    [
        ((16, 16, 32, 24), (2, 1, 2), False),
        ((8, 8, 16, 16), (2, 2, 2), False),
        ((8, 8, 16, 16), (2, 1, 2), True),
        ((8, 8, 8, 16), (2, 1, 2), False),
    ],
)
def test_what_cannot_be_shrunk_is_refused(script, wide, widths, strides, gates):
    with pytest.raises(SystemExit, match="expected --no-gates"):
        script.shrunk(wide[1], script.Net(widths, strides, gates=gates), script.read("sample").faces)


compiles = pytest.mark.skipif(
    not (shutil.which("ninja") and shutil.which("c++")), reason="the transforms need a C++ compiler and ninja"
)


@compiles
@pytest.mark.parametrize("side", [5, 8, 10, 24])
def test_minimal_filtering_gives_the_convolution_and_its_gradients(script, side):
    winograd = importlib.import_module("winograd")
    torch.manual_seed(0)
    x = torch.randn(3, 16, side, side + 1).contiguous(memory_format=torch.channels_last).requires_grad_()
    fast, found = winograd.Conv3x3(16, 24), []
    for convolve in (lambda: fast(x), lambda: torch.nn.functional.conv2d(x, fast.weight, padding=1)):
        y = convolve()
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        found.append([y.detach(), x.grad, fast.weight.grad])
        x.grad = fast.weight.grad = None
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 2e-5 * other.abs().max()


@compiles
def test_a_network_with_minimal_filtering_is_the_same_network(script):
    torch.manual_seed(0)
    plain, fast = (script.Net((8, 16, 16, 24), (2, 1, 2), winograd=on).eval() for on in (False, True))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(4, 1, 48, 48)
    with torch.no_grad():
        for one, other in zip(plain(x), fast(x), strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_minimal_filtering_needs_full_vectors(script):
    winograd = importlib.import_module("winograd")
    with pytest.raises(ValueError, match=r"Got 16 and 20 channels, expected multiples of 8\."):
        winograd.Conv3x3(16, 20)
