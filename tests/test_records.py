from itertools import islice

import numpy as np
import pytest
from scipy import sparse

from ferkit.errors import InputError
from ferkit.records import Faces, Features, Reading, as_faces, as_features, face_hashes


def crops(n=4, size=6):
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


def test_faces_are_taken_by_mask_slice_number_and_tuple():
    faces = Faces(crops(), points=np.zeros((4, 5, 2)), found=[True, False, True, True])
    assert faces[np.array([True, False, True, False])].index.tolist() == [0, 2]
    assert faces[1:3].found.tolist() == [False, True]
    assert len(faces[-1]) == 1
    assert np.array_equal(faces[-1].crops[0], faces.crops[3])
    assert faces[[3, 0], ...].index.tolist() == [3, 0]
    assert [len(face) for face in faces] == [1, 1, 1, 1]
    assert repr(faces) == "Faces(n=4, size=6x6, found=3)"
    assert faces.size == 6


def test_merged_faces_keep_every_row_and_refuse_other_shapes():
    faces = Faces(crops())
    merged = Faces.merge([faces[:1], faces[1:]])
    assert np.array_equal(merged.crops, faces.crops)
    assert len(Faces.merge([])) == 0
    with pytest.raises(InputError, match="Got crops of different shapes"):
        Faces.merge([faces, Faces(crops(size=7))])


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((3, 4)), np.full((1, 2, 2), np.nan), np.full((1, 2, 2), 300.0), np.full((1, 2, 2), "a")],
)
def test_wrong_crops_say_what_was_expected(wrong):
    with pytest.raises(InputError, match=r"Got crops .*expected"):
        Faces(wrong)


def test_whole_numbers_of_other_types_become_grey_levels():
    assert Faces(np.full((1, 2, 2), 41.6)).crops.tolist() == [[[42, 42], [42, 42]]]
    assert Faces(np.full((1, 2, 2), 0.5)).crops.tolist() == [[[128, 128], [128, 128]]]


def test_rows_of_another_number_are_refused():
    with pytest.raises(InputError, match="Got found with 3 rows, expected 4"):
        Faces(crops(), found=[True] * 3)
    with pytest.raises(InputError, match="Got points with shape"):
        Faces(crops(), points=np.zeros((4, 2)))


def test_a_plain_stack_is_faces():
    faces = Faces(crops())
    assert as_faces(faces) is faces
    assert len(as_faces(crops())) == 4


def test_features_join_dense_and_sparse_blocks():
    X = Features({"a": np.ones((3, 2)), "b": sparse.csr_array(np.eye(3))}, {"a": ["a/x", "a/y"]})
    assert X.families == {"a": slice(0, 2), "b": slice(2, 5)}
    assert sparse.issparse(X.matrix)
    assert np.asarray(X).tolist() == np.hstack([np.ones((3, 2)), np.eye(3)]).tolist()
    assert X[[2], ...].shape == (1, 5)
    assert X[1].shape == (1, 5)
    assert X["b"].shape == (3, 3)
    assert X.names == {"a": ["a/x", "a/y"]}
    assert repr(X) == "Features(n=3, a=2, b=3)"
    assert as_features(X) is X
    assert as_features([[1, 2]]).shape == (1, 2)


def test_going_through_the_rows_ends():
    features = Features({"hog": np.arange(6.0).reshape(3, 2)})
    assert [row["hog"].tolist() for row in islice(features, 9)] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert features[-1]["hog"].tolist() == [[4, 5]]
    for rows in (features, Faces(crops(3))):
        for beyond in (3, -4):
            with pytest.raises(IndexError, match=f"row={beyond}, expected one of 3 rows"):
                rows[beyond]


def test_wrong_features():
    with pytest.raises(InputError, match="Got no families"):
        Features({})
    with pytest.raises(InputError, match="different numbers of rows"):
        Features({"a": np.ones((3, 2)), "b": np.ones((2, 2))})
    with pytest.raises(InputError, match="Got family='z'"):
        Features({"a": np.ones((3, 2))})["z"]


def test_hashes_follow_pixels_shape_and_landmarks():
    stack = crops()
    first = face_hashes(stack)
    assert first.dtype == np.uint64
    assert len(set(first.tolist())) == 4
    assert np.array_equal(first[[2, 0]], face_hashes(stack[[2, 0]]))
    assert not np.array_equal(first, face_hashes(Faces(stack, points=np.zeros((4, 5, 2)))))
    assert face_hashes(stack.reshape(4, 4, 9))[0] != first[0]


def test_a_row_of_output_has_the_columns_of_the_contract():
    reading = Reading("a.jpg", 2, 0.123456, 1, (1.04, 2, 3, 4), "fear", 0.7, {"fear": 0.7, "anger": 0.3})
    assert reading.row() == {
        "source": "a.jpg",
        "frame": 2,
        "time": 0.1235,
        "face": 1,
        "x1": 1.0,
        "y1": 2.0,
        "x2": 3.0,
        "y2": 4.0,
        "label": "fear",
        "confidence": 0.7,
        "fear": 0.7,
        "anger": 0.3,
    }


def test_a_label_called_like_a_column_loses_nothing():
    reading = Reading("a.jpg", 0, None, 0, (1, 2, 3, 4), "face", 0.8, {"face": 0.8, "label": 0.2})
    row = reading.row()
    assert (row["face"], row["label"], row["p_face"], row["p_label"]) == (0, "face", 0.8, 0.2)
