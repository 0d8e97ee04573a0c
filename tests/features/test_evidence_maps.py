"""Evidence given back to pixels: nothing is lost, and it lies where the columns come from."""

import numpy as np
import pytest

from ferkit import store
from ferkit.errors import InputError, ModelFileError
from ferkit.features import HOG, LBP, FisherVectors, Geometry, NetworkFeatures, VisualWords
from ferkit.features.base import FaceFeatures
from ferkit.features.geometry import MEASURES, point_evidence, points_of
from ferkit.features.onnx import open_network
from ferkit.features.onnx_head import read_head

FAMILIES = {
    "hog": HOG(cell=[6, 8, 12], sqrt=True),
    "hog that leaves a rest": HOG(cell=7, block=1),
    "hog in large blocks": HOG(cell=8, block=3, signed=False),
    "lbp": LBP(),
    "lbp uniform": LBP(radii=[1.5], grid=[5, 4], method="uniform"),
    "geometry": Geometry(),
    "words": VisualWords(n_words=20, max_descriptors=2000),
    "words counted": VisualWords(n_words=10, encoding="soft", pyramid=[1], assignments=2, max_descriptors=2000),
    "fisher": FisherVectors(n_gaussians=4, n_dims=8, n_axes=6, max_descriptors=2000),
    "fisher whole": FisherVectors(n_gaussians=3, n_dims=4, n_axes=None, mirror=False, cells=3, max_descriptors=2000),
    "network": NetworkFeatures(output="logits"),
    "network's embedding": NetworkFeatures(mirror=False),
}


@pytest.fixture(scope="module")
def fitted(faces):
    return {name: family.fit(faces) for name, family in FAMILIES.items()}


def evidence_of(family, faces, seed=0):
    block = family.transform(faces)
    slopes = np.random.default_rng(seed).normal(size=block.shape)
    return (block.multiply(slopes).tocsr() if hasattr(block, "tocsr") else block * slopes), slopes


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_lost(fitted, faces, name):
    family = fitted[name]
    evidence, slopes = evidence_of(family, faces[:4])
    found = family.evidence_map(faces[:4], evidence, slopes)
    assert found.shape == (4, 48, 48)
    assert found.sum(axis=(1, 2)) == pytest.approx(np.asarray(evidence.sum(axis=1)).ravel(), abs=1e-4)


def test_hog_cells(fitted, faces):
    hog = fitted["hog"]
    names = [name.split("/") for name in hog.get_feature_names_out()]
    column = np.array([name[1:2] == ["cell8"] and name[3:] == ["row2", "col4", "bin5"] for name in names], float)
    cells = hog.cell_evidence(column[None])
    assert list(cells) == [6, 8, 12]
    assert cells[8][0, 2, 4, 5] == column.sum() == 4
    assert sum(np.abs(part).sum() for part in cells.values()) == 4
    found = hog.evidence_map(faces[:1], column[None], column[None])
    assert np.flatnonzero(found[0].any(axis=1)).tolist() == list(range(16, 24))
    assert np.flatnonzero(found[0].any(axis=0)).tolist() == list(range(32, 40))


def test_lbp_cells(fitted, faces):
    lbp = fitted["lbp"]
    column = (lbp.get_feature_names_out() == "lbp/radius2/row0/col6/code12").astype(float)[None]
    cells = lbp.cell_evidence(column)
    assert cells[2][0, 0, 6, 12] == 1
    found = lbp.evidence_map(faces[:1], column, column)[0]
    assert np.flatnonzero(found.any(axis=1)).tolist() == list(range(2, 8))
    assert np.flatnonzero(found.any(axis=0)).tolist() == list(range(40, 46))


def test_words_go_to_the_patches_that_hold_them(fitted, faces):
    words = fitted["words"]
    boxes = words.patches((48, 48))
    assert boxes.shape == (words.describe(faces.crops[:1]).shape[1], 4)
    assert (boxes[0, 2:] - boxes[0, :2]).tolist() == [9, 9]
    assert (boxes[-1, 2:] - boxes[-1, :2]).tolist() == [15, 15]
    block = words.transform(faces[:1])
    names = words.get_feature_names_out()
    column = int(block.indices[block.indices >= 20 * (4 + 16)][0])  # of the finest level
    only = block.copy()
    only.data[only.indices != column] = 0
    patches = words.patch_evidence(faces[:1], only)[0]
    row, col = (int(part[3:]) for part in names[column].split("/")[2:4])
    middles = (boxes[:, :2] + boxes[:, 2:])[patches != 0] / 2
    assert ((middles // 8) == (col, row)).all()
    assert patches.sum() == pytest.approx(only.sum())


def test_fisher_cells_keep_their_side(faces):
    half = faces.crops.copy()
    half[:, :, :24] = 90  # nothing at the left
    family = FisherVectors(n_gaussians=4, n_dims=8, n_axes=6, max_descriptors=2000).fit(faces)
    block = family.transform(half)
    moved = family.transform(half) - family.transform(np.full_like(half, 90))
    slopes = np.sign(moved)
    cells = family.cell_evidence(half, block * slopes, slopes)
    mirrored = family.cell_evidence(half[:, :, ::-1], block * slopes, slopes)
    assert cells == pytest.approx(mirrored[:, :, ::-1], abs=1e-4)
    assert np.abs(cells[:, :, 2:] - cells[:, :, 1::-1]).max() > 0.01


def test_geometry_lies_on_its_landmarks(fitted, faces):
    name = "AU12/mouth_corner_pull_left"
    evidence = np.zeros((1, len(MEASURES) + 1))
    evidence[0, list(MEASURES).index(name)] = 2.0
    assert points_of(name) == [33, 54]
    assert np.flatnonzero(point_evidence(evidence[0])).tolist() == [33, 54]
    found = fitted["geometry"].evidence_map(faces[:1], evidence, evidence)[0]
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert min(np.hypot(*(faces.points[0][[33, 54]] - (x + 0.5, y + 0.5)).T)) < 1.5


@pytest.mark.parametrize(
    ("output", "mirror", "size", "cells_a_side"),
    [
        ("logits", True, None, 6),
        ("logits", False, 40, 5),
        ("logits", True, [40, 56], 7),
        ("votes", True, None, 6),
        ("votes", False, None, 6),
    ],
)
def test_the_activation_map_is_exact(faces, output, mirror, size, cells_a_side):
    network = NetworkFeatures(output=output, mirror=mirror, size=size).fit(faces)
    weights, bias = open_network(network.network_hash_).head(output)
    logits = network.transform(faces)
    for label in (0, 3):
        slopes = np.zeros_like(logits)
        slopes[:, label] = 1
        cells = network.activation_map(faces, slopes)
        assert cells.shape == (len(faces), cells_a_side, cells_a_side)
        assert cells.sum(axis=(1, 2)) + bias[label] == pytest.approx(logits[:, label], abs=1e-4)
    turned = network.activation_map(faces.crops[:, :, ::-1], slopes)
    if mirror:
        assert turned[:, :, ::-1] == pytest.approx(cells, abs=1e-4)
    assert weights.shape == (NetworkFeatures().fit(faces).transform(faces).shape[1], len(bias))


@pytest.mark.parametrize(("pool", "size"), [("mean", None), (2, None), (2, [40, 56]), (3, 56)])
def test_the_activation_map_of_parts_is_exact(faces, pool, size):
    network = NetworkFeatures(output="map", pool=pool, size=size).fit(faces)
    columns = network.transform(faces)
    slopes = np.random.default_rng(0).normal(size=columns.shape)
    cells = network.activation_map(faces, slopes)
    assert cells.sum(axis=(1, 2)) == pytest.approx((columns * slopes).sum(axis=1), abs=1e-3)
    whole = NetworkFeatures(output="map", pool="flatten").fit(faces)
    assert whole.activation_map(faces, np.zeros((len(faces), whole.n_outputs_))) is None


def test_evidence_stays_in_its_part(faces):
    network = NetworkFeatures(output="map", pool=2, mirror=False).fit(faces)
    slopes = np.zeros((len(faces), network.n_outputs_))
    slopes[:, [name.startswith("cnn/row0/col1/") for name in network.get_feature_names_out()]] = 1
    cells = network.activation_map(faces, slopes)
    assert cells[:, :3, 3:].min() > 0
    assert not cells[:, 3:].any()
    assert not cells[:, :, :3].any()


def test_heads_that_are_not_linear(faces):
    network = open_network(NetworkFeatures(output="logits").fit(faces).network_hash_)
    with pytest.raises(InputError, match="Got output='map', expected one linear layer on 'embedding'"):
        network.head("map")
    data = store.default_path().with_name("net.onnx").read_bytes()
    with pytest.raises(ModelFileError, match="Got a cut-off network of"):
        read_head(data[: len(data) // 2], "logits", "embedding")
    for cut in (0, 1, 50):
        with pytest.raises((ModelFileError, InputError)):
            read_head(data[:cut], "logits", "embedding")


def test_heads_of_other_exporters():
    onnx = pytest.importorskip("onnx", reason="the test networks are written with the package onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    bias = np.array([5, 6, 7], np.float32)

    def file(nodes, arrays):
        inputs = [helper.make_tensor_value_info("embedding", proto.FLOAT, ["n", 2])]
        outputs = [helper.make_tensor_value_info("logits", proto.FLOAT, ["n", 3])]
        parts = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
        parts.append(helper.make_tensor("listed", proto.FLOAT, [3], [5.0, 6.0, 7.0]))
        parts.append(helper.make_tensor("whole", proto.INT64, [1], [7]))
        return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, parts)).SerializeToString()

    node = helper.make_node
    turned = file([node("Gemm", ["embedding", "w", "b"], ["logits"], transB=1, alpha=1.0)], {"w": weights.T, "b": bias})
    product = node("MatMul", ["embedding", "w"], ["product"])
    added = file([product, node("Add", ["listed", "product"], ["logits"])], {"w": weights})
    bare = file([node("Gemm", ["embedding", "w"], ["logits"])], {"w": weights})
    for data, wanted in ((turned, bias), (added, bias), (bare, np.zeros(3))):
        found = read_head(data, "logits", "embedding")
        assert found[0].tolist() == weights.tolist()
        assert found[1].tolist() == wanted.tolist()
    other = file([node("Relu", ["embedding"], ["logits"])], {})
    with pytest.raises(InputError, match="expected one linear layer"):
        read_head(other, "logits", "embedding")


def test_a_family_without_places(faces):
    class Bare(FaceFeatures):
        family = "bare"

        def _extract(self, faces):
            return np.zeros((len(faces), 1), np.float32)

        def _names(self):
            return ["one"]

    assert Bare().fit(faces).evidence_map(faces, np.zeros((12, 1)), np.zeros((12, 1))) is None
