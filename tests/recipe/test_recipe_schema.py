"""Recipes are read strictly: what is unknown is named, with its line and the nearest right spelling."""

from pathlib import Path

import pytest

from ferkit import recipe
from ferkit.errors import RecipeError
from ferkit.recipe import schema
from ferkit.recipe.schema import labels_of
from ferkit.recipe.text import dump, parse

GOOD = """\
# a comment
faces: {size: 48}
features:
  hog: {cell: 8}
  fine: {kind: hog, cell: [4, 8]}
model:
  stacking:
    bases:
      hog: {linear_svm: {C: 1e-2}}
      fine: passthrough
    final: head
labels: {happy: positive, sad: drop, fear: null}
augment: {copies: 2, rotation: 20}
fusion_rows: 0.3
seed: 3
split: Training
leave_out_twins: false
"""


def test_a_whole_recipe():
    found = recipe.loads(GOOD, stem="mine")
    assert found.name == "mine"
    assert found.faces == {"size": 48}
    assert found.features == {
        "hog": recipe.Part("hog", {"cell": 8}),
        "fine": recipe.Part("hog", {"cell": (4, 8)}),
    }
    bases = {"hog": recipe.Part("linear_svm", {"C": 0.01}), "fine": "passthrough"}
    assert found.model == recipe.Part("stacking", {"final": "head", "bases": bases})
    assert found.labels == {"happiness": "positive", "sadness": None, "fear": None}
    assert found.augment == {"copies": 2, "rotation": 20}
    assert (found.held_out, found.seed, found.split, found.leave_out_twins) == (0.3, 3, "Training", False)
    assert recipe.loads(found.text, stem="mine") == found


def test_what_is_left_out_has_defaults():
    found = recipe.loads("features: {hog: }\nmodel: linear_svm")
    assert (found.held_out, found.seed, found.split, found.leave_out_twins) == ("auto", 0, None, True)
    assert found.search is None
    assert found.augment is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: linear_svm\nfeatrues: {hog: {}}", r"line 2: Got key 'featrues'.*Did you mean 'features'\?"),
        ("features: {hog: {}}\nmodel: liner_svm", r"line 2: Got model 'liner_svm'.*Did you mean 'linear_svm'\?"),
        ("features: {hog: {}}\nmodel: sklearn.svm.SVC", r"line 2: Got model 'sklearn.svm.SVC', expected one of"),
        ("features:\n  hog:\n    cel: 8\nmodel: linear_svm", r"line 3: Got parameter of HOG 'cel'.*'cell'\?"),
        ("features: {hgo: {}}\nmodel: linear_svm", r"line 1: Got feature family 'hgo'.*Did you mean 'hog'"),
        ("features: {x: {kind: hug}}\nmodel: linear_svm", r"'hug'.*Did you mean 'hog'"),
        ("features: {x: {kind: [1]}}\nmodel: linear_svm", r"Got kind=\[1\], expected a word"),
        ("features: {mine: {}}\nmodel: linear_svm", r"kind: hog"),
        ("features: {a/b: {kind: hog}}\nmodel: linear_svm", r"without '/'"),
        ("features: {hog: 3}\nmodel: linear_svm", r"Got hog=3, expected keys with values"),
        ("features: {hog: {}}\nmodel:\n  linear_svm:\n    c: 1", r"line 4: .*LinearSVM 'c'.*Did you mean 'C'"),
        ("features: {hog: {}}\nmodel: {linear_svm: {}, rbf_svm: {}}", r"expected one name"),
        (
            "features: {hog: {}, lbp: {}}\nmodel:\n  stacking:\n    bases:\n      hog+lpb: linear_svm",
            r"line 5: Got family \(a key of features\) 'lpb', expected one of hog, lbp.*Did you mean 'lbp'",
        ),
        (
            "features: {hog: {}, lbp: {}}\nmodel: {stacking: {bases: {hog+lbp: linear_svm, lbp: rbf_svm}}}",
            r"line 2: Got lbp in hog\+lbp and lbp, expected it in one base",
        ),
        (
            "features: {hog: {}, lbp: {}}\nmodel: {voting: {bases: {hog+lbp: passthrough}}}",
            r"Got hog\+lbp: passthrough, expected a model for several families",
        ),
        (
            "features: {hog: {}, lbp: {}, cnn: {}}\n"
            "model: {stacking: {bases: {hog+lbp: {voting: {bases: {cnn: rbf_svm}}}}}}",
            r"Got family \(a key of features\) 'cnn', expected one of hog, lbp\.",
        ),
        ("features: {hog: {}}\nmodel: 3", r"Got model=3"),
        ("features: {hog: {}}", r"Got no model"),
        ("model: linear_svm", r"without features"),
        ("features: {hog: {}}\nmodel: network", r"line 2: Got model network with features"),
        (
            "features: {hog: {}}\nmodel: {stacking: {bases: {lbp: linear_svm}}}",
            r"Got family .*'lbp', expected one of hog",
        ),
        ("features: {hog: {}}\nmodel: {stacking: {bases: {hog: svm}}}", r"Got model 'svm'"),
        ("features: {hog: {}}\nmodel: linear_svm\nfusion_rows: 0.2", r"line 3: Got fusion_rows.*expected validation"),
        ("features: {hog: {}}\nmodel: stacking\nvalidation: 0.2", r"Got validation.*expected fusion_rows"),
        ("features: {hog: {}}\nmodel: stacking\nfusion_rows: 1.5", r"share between 0 and 1"),
        ("features: {hog: {}}\nmodel: stacking\nfusion_rows: true", r"Got fusion_rows=True"),
        ("features: {hog: {}}\nmodel: linear_svm\nseed: -1", r"Got seed=-1, expected a whole number"),
        ("features: {hog: {}}\nmodel: linear_svm\nseed: true", r"Got seed=True"),
        ("features: {hog: {}}\nmodel: linear_svm\nseed: 5000000000", r"Got seed=5000000000, .* 0 to 4294967295"),
        ("features: {hog: {}}\nmodel: {linear_svm: {seed: -1}}", r"line 2: Got seed=-1, expected a whole number from"),
        ("features: {hog: {seed: 1}}\nmodel: linear_svm", r"Got parameter of HOG 'seed'"),
        (
            "features: {hog: {}}\nmodel: linear_svm\nsearch: {params: {model.seed: [1, -1]}}",
            r"line 3: Got model.seed=-1, expected a whole number",
        ),
        ("features: {hog: {}}\nmodel: linear_svm\nleave_out_twins: 1", r"expected true or false"),
        ("features: {hog: {}}\nmodel: linear_svm\nlabels: {sad: 3}", r"Got labels.sad=3"),
        ("features: {hog: {}}\nmodel: linear_svm\nlabels: {3: sad}", r"line 3: got key 3, expected a word"),
        ("features: {hog: {}}\nmodel: linear_svm\naugment: {rotate: 3}", r"Did you mean 'rotation'"),
        ("faces: {siez: 3}\nfeatures: {hog: {}}\nmodel: linear_svm", r"line 1: .*FaceExtractor 'siez'.*'size'"),
        (
            "features:\n  hog: {}\n  lbp: {sqrt: off}\nmodel: linear_svm",
            r"line 3: Got sqrt='off', expected true or false",
        ),
        ("features: {hog: {}}\nmodel:\n  linear_svm: {calibrate: no}", r"line 3: Got calibrate='no', expected true or"),
        ("faces: {align: yes}\nfeatures: {hog: {}}\nmodel: linear_svm", r"line 1: Got align='yes', expected true or"),
        ("features: {cnn: {mirror: null}}\nmodel: linear_svm", r"Got mirror=None, expected true or false"),
        ("features: {hog: {}}\nmodel: {linear_svm: {C: much}}", r"line 2: Got C='much', expected a number"),
        ("features: {hog: {}}\nmodel: {linear_svm: {C: true}}", r"line 2: Got C=True, expected a number"),
        ("features: {hog: {}}\nmodel: {rbf_svm: {cache_size: abc}}", r"Got cache_size='abc', expected a number"),
        ("features: {cnn: {init: 5}}\nmodel: linear_svm", r"line 1: Got init=5, expected a word"),
        ("model: {network: {init: 5}}", r"line 1: Got init=5, expected a word or a path"),
        ("model: {network: {augment: no}}", r"line 1: Got augment='no', expected true, false or settings"),
        ("model: {network: {widths: 3}}", r"line 1: Got widths=3, expected a list of whole numbers"),
        ("model: {network: {epochs: 2.5}}", r"line 1: Got epochs=2.5, expected a whole number"),
        (
            "features: {hog: {}}\nmodel: linear_svm\naugment: {rotation: lots}",
            r"line 3: Got rotation='lots'",
        ),
        (
            "features: {hog: {}}\nmodel: linear_svm\naugment: {flip: no}",
            r"line 3: Got flip='no', expected true or false",
        ),
        ("a: 1\na: 2", r"line 2: key 'a' is given twice, first in line 1"),
        ("a: &x 1\nb: *x", r"line 2: aliases are not allowed"),
        ("a: !!python/object/apply:os.system ['true']", r"line 1: could not determine a constructor"),
        ("a: [1", r"line"),
        ("[" * 5000, r"not YAML"),
        ("- a\n- b", r"Got list, expected keys"),
        ("", r"Got NoneType"),
        ("a" * 200_000, r"Got 200000 characters"),
    ],
)
def test_what_is_wrong_is_named(text, expected):
    with pytest.raises(RecipeError, match=rf"(?s)^my\.yaml.*{expected}"):
        recipe.loads(text, name="my.yaml")


SEARCHED = "features: {hog: {}, lbp: {}}\nmodel: {stacking: {bases: {hog: linear_svm}}}\nsearch:\n  params:\n    "


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("model.seed", "model__seed"),
        ("model.stacking.folds", "model__folds"),
        ("model.bases.hog.C", "model__hog__C"),
        ("model.stacking.bases.hog.linear_svm.C", "model__hog__C"),
    ],
)
def test_paths_of_a_search(path, name):
    found = recipe.loads(f"{SEARCHED}{path}: [2, 3]")
    assert found.search.params == {name: (2, 3)}


def test_landmarks_may_be_a_number():
    assert (
        recipe.build(recipe.loads("faces: {landmarks: 68}\nfeatures: {geometry: {}}\nmodel: linear_svm"))[0].landmarks
        == 68
    )


def test_lists_in_a_search():
    found = recipe.loads(f"{SEARCHED}features.lbp.radii: [[1, 2], 3]")
    assert found.search.params == {"features__lbp__radii": ((1, 2), 3)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.C: [1]", "Got 'model.C', expected a parameter of stacking"),
        ("model.bases.lbp.C: [1]", "expected one of hog and its parameter"),
        ("model.bases.hog.c: [1]", "expected a parameter of linear_svm.*Did you mean 'C'"),
        ("features.hog.cel: [1]", "line 5.*Did you mean 'cell'"),
        ("model.bases.hog: [1]", "expected one of hog and its parameter"),
        ("model.bases.hog.nothing.C: [1]", "expected a parameter of what the recipe names"),
        ("model.estimator.C: [1]", "expected one of hog and its parameter"),
        ("model.hog.C: [1]", "expected one of hog and its parameter"),
        ("model.bases.hog.calibrate: [true, no]", "line 5: Got model.bases.hog.calibrate='no', expected true or false"),
        ("faces.light: [none]", "expected a path of model or features.* Faces are found once"),
        ("model.final: 1", "expected a list of values"),
        ("model.final: []", "expected a list of values"),
        ("model.folds: [2]\n  kind: gird", "Did you mean 'grid'"),
        ("model.folds: [2]\n  score: speed", "expected one of accuracy"),
        ("model.folds: [2]\n  folds: 1", "expected at least 2"),
        ("model.folds: [2]\n  fold: 3", "key of search 'fold'.*'folds'"),
    ],
)
def test_what_is_wrong_in_a_search(text, expected):
    with pytest.raises(RecipeError, match=rf"(?s){expected}"):
        recipe.loads(SEARCHED + text)


def test_a_search_reaches_the_model_inside_a_model():
    text = "features: {hog: {}}\nmodel: {concatenation: {estimator: linear_svm}}\n"
    text += "search: {params: {model.estimator.C: [1]}}"
    found = recipe.loads(text)
    assert found.search.params == {"model__estimator__C": (1,)}
    assert "model__estimator__C" in recipe.build(found).get_params()
    with pytest.raises(RecipeError, match=r"Got 'model\.estimator\.C', expected a parameter of what the recipe names"):
        recipe.loads(text.replace("{estimator: linear_svm}", "{}"))


def test_a_search_can_be_set_from_the_command_line():
    sets = ["search.params.model.C=[1, 10]", "search.params.features.hog.cell=[8, [8, 12]]", "search.folds=4"]
    found = recipe.loads("features: {hog: {}}\nmodel: linear_svm", sets=sets)
    assert found.search.params == {"model__C": (1, 10), "features__hog__cell": (8, (8, 12))}
    assert recipe.loads(found.text).search == found.search
    written = "features: {hog: {}}\nmodel: linear_svm\nsearch: {params: {model.C: [0.1, 1]}}"
    assert recipe.loads(written, sets=sets[:1]).search.params == {"model__C": (1, 10)}
    with pytest.raises(RecipeError, match=r"--set search\.params\.model\.c=\[1\]: .*Did you mean 'C'"):
        recipe.loads(written, sets=["search.params.model.c=[1]"])


def test_a_search_without_settings():
    with pytest.raises(RecipeError, match="without params"):
        recipe.loads("features: {hog: {}}\nmodel: linear_svm\nsearch: {kind: grid}")


@pytest.mark.parametrize(
    ("sets", "check"),
    [
        (["model.linear_svm.C=2"], lambda r: r.model.params == {"C": 2}),
        (["model.C=1e-3"], lambda r: r.model.params == {"C": 0.001}),
        (["features.hog.cell=[4, 8]"], lambda r: r.features["hog"].params == {"cell": (4, 8)}),
        (["features.lbp={radii: [1]}"], lambda r: r.features["lbp"].params == {"radii": (1,)}),
        (["seed=4", "seed=5"], lambda r: r.seed == 5),
        (["labels.happy=positive"], lambda r: r.labels == {"happiness": "positive"}),
        (["model=rbf_svm", "model.gamma=0.5"], lambda r: r.model == recipe.Part("rbf_svm", {"gamma": 0.5})),
        (["features.hog=null"], lambda r: r.features["hog"].params == {}),
        (["augment={}"], lambda r: r.augment == {"copies": 1}),
    ],
)
def test_overrides(sets, check):
    found = recipe.loads("features: {hog: {}}\nmodel: linear_svm", sets=sets)
    assert check(found)
    assert recipe.loads(found.text) == found


def test_an_override_reaches_into_a_base():
    text = "features: {hog: {}}\nmodel: {stacking: {bases: {hog: linear_svm}}}"
    found = recipe.loads(text, sets=["model.bases.hog.linear_svm.C=3", "model.final=head"])
    assert found.model.params == {"final": "head", "bases": {"hog": recipe.Part("linear_svm", {"C": 3})}}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("model.linear_svm.c=2", r"--set model.linear_svm.c=2: .*Did you mean 'C'"),
        ("modle=2", r"--set modle=2: .*Did you mean 'model'"),
        ("seed", r"expected key=value"),
        ("=3", r"expected key=value"),
        ("a..b=3", r"expected key=value"),
        ("seed=[1", r"--set seed=\[1, line 1"),
    ],
)
def test_wrong_overrides(setting, expected):
    with pytest.raises(RecipeError, match=expected):
        recipe.loads("features: {hog: {}}\nmodel: linear_svm", sets=[setting])


def test_words_that_older_yaml_takes_for_something_else():
    found = recipe.loads("features: {hog: {}}\nmodel: linear_svm\nlabels: {no: yes, on: off, 'true': 012}")
    assert found.labels == {"no": "yes", "on": "off", "true": "012"}


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        recipe.load(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        recipe.load(tmp_path / "a.yaml")
    with pytest.raises(RecipeError, match=r"Did you mean 'hybrid'\?"):
        recipe.load("hybird")


def test_a_file_gives_its_name(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("features: {hog: {}}\nmodel: linear_svm\n", encoding="utf-8")
    assert recipe.load(path).name == "mine"
    assert recipe.load(path, ["name=other"]).name == "other"


@pytest.mark.parametrize("name", sorted(schema.shipped()))
def test_shipped_recipes_are_short_and_right(name):
    path = schema.shipped()[name]
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 18
    assert recipe.load(name).name == name


def test_a_folder_does_not_hide_a_shipped_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn").mkdir()
    assert recipe.load("cnn").name == "cnn"


def test_the_recipes_that_must_be_there():
    expected = {"hog_svm", "lbp_svm", "words_svm", "geometry_svm", "cnn", "hybrid"}
    assert {path.stem for path in (Path(schema.__file__).parents[2] / "pipelines").glob("*.yaml")} >= expected


@pytest.mark.parametrize(
    "word", ["1e5", "12E3", ".5e3", "no", "08", "12:30", "~", "null", "", "K\udce4se", "\U0001f600"]
)
def test_words_are_written_so_that_they_are_read_as_words(word):
    chosen = recipe.loads("features: {hog: {}}\nmodel: linear_svm\n" + dump({"labels": {word: "bored"}}))
    assert chosen.labels == labels_of({"recipe": chosen.text}) == {word: "bored"}
    assert parse(dump({"a": [word]}), "text") == {"a": [word]}


def test_a_search_over_settings_with_keys_is_written():
    text = "features: {hog: {}}\nmodel: linear_svm\nsearch: {params: {model.class_weight: [{fear: 2}, balanced, null]}}"
    chosen = recipe.loads(text)
    assert chosen.search.params == {"model__class_weight": ({"fear": 2}, "balanced", None)}
    assert recipe.loads(chosen.text).search == chosen.search
